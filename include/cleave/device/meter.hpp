// Energy meters: real ones, and one that computes from a board's published watts.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/board.hpp>
#include <cleave/device/files.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// A cumulative reading; the difference of two is the energy between them.
struct EnergyReading {
  core::Joules joules;  ///< since the meter was opened
  core::Boundary boundary = core::Boundary::edge;
  core::Origin origin = core::Origin::modelled;
  core::Joules resolution;  ///< the smallest step of the counter; differences near it mean nothing
  std::string source;       ///< the meter's files, or the board and its publication
  /// The standard error of joules that the meter itself is the cause of (too few samples); 0 for a
  /// counter. Not the sensor's own, which its data sheet tells.
  core::Joules error;
  /// Time the meter spent on reading its sensor so far: at most so much of one CPU, and the energy
  /// of that is in joules.
  core::Seconds overhead;
};

/// What was used between two readings of one meter, with its own error: the square root of the
/// difference of the squares.
CLEAVE_EXPORT EnergyReading between(const EnergyReading& from, const EnergyReading& to);

/// Thread-safe.
class CLEAVE_EXPORT Meter {
 public:
  virtual ~Meter();
  /// "rapl", "model:raspberry_pi_4"
  [[nodiscard]] virtual std::string name() const = 0;
  [[nodiscard]] virtual core::Result<EnergyReading> read() = 0;
};

/// Intel and AMD processors' energy through Linux powercap
/// (Documentation/power/powercap/powercap.rst): the sum over the packages (intel-rapl:N) and their
/// memory ("dram" below one). Memory is no part of a package; cores and uncore are, and psys
/// contains packages (Intel SDM volume 3B, "RAPL Domains"), so these are not added. A counter that
/// went backwards wrapped once at max_energy_range_uj: read at least once a wrap (tens of minutes
/// at 100 W and 262 kJ). energy_uj is readable by root only since Linux 5.10 (CVE-2020-8694, the
/// PLATYPUS attack).
class CLEAVE_EXPORT RaplMeter final : public Meter {
 public:
  /// Errors: not_found (no powercap packages), permission_denied with a hint, corrupt (no numbers).
  static core::Result<std::unique_ptr<RaplMeter>> open(
      Machine machine = {}, core::Boundary boundary = core::Boundary::edge);
  ~RaplMeter() override;
  [[nodiscard]] std::string name() const override { return "rapl"; }
  [[nodiscard]] core::Result<EnergyReading> read() override;
  /// What is summed: "package-0", "package-0/dram", ...
  [[nodiscard]] std::vector<std::string> domains() const;
  /// The domains that are not, each a meter of its own: "package-0/core", "psys", ...
  [[nodiscard]] std::vector<Meter*> parts() const;

 private:
  class Impl;
  explicit RaplMeter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// What a board did for a while.
struct Activity {
  std::size_t level = 0;   ///< of Board::levels
  int active_cores = 0;    ///< 0: idle
  double utilisation = 1;  ///< of those cores
};

/// Joules by Board::power times the durations it is told of, plus radio energy by bytes. It
/// measures nothing: what is not accounted costs nothing, and its readings say modelled.
class CLEAVE_EXPORT ModelledMeter final : public Meter {
 public:
  /// boundary edge_cloud_machine counts Board::machine_power, the others Board::power. `radio`: one
  /// of the board's by name, "" for none (wired, not counted); std::invalid_argument if it has no
  /// such radio. `rate`: the link's, for the radio's base power; 0: per-byte energy only.
  explicit ModelledMeter(Board board, core::Boundary boundary = core::Boundary::edge,
                         const std::string& radio = "", core::BytesPerSecond rate = {});
  ~ModelledMeter() override;
  [[nodiscard]] std::string name() const override;
  [[nodiscard]] core::Result<EnergyReading> read() override;

  /// The board did this for so long. Negative durations count as none. Gives the joules added.
  core::Joules account(const Activity& activity, core::Seconds duration);
  /// Bytes over the radio. Gives the joules added.
  core::Joules account_transfer(core::Bytes sent, core::Bytes received);
  /// Watts while doing it, at the meter's boundary.
  [[nodiscard]] core::Watts power(const Activity& activity) const;
  [[nodiscard]] const Board& board() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::device
