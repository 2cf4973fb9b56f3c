// A board's power figures, published or fitted from a meter: what a modelled energy is computed
// from.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// One published watt figure, or one derived from published ones.
struct Figure {
  core::Watts watts;
  std::string source;  ///< where it was published, or the formula it was derived by
  bool derived = false;
  core::Watts error = {};  ///< standard error; 0: not known
};

/// One operating point.
struct BoardLevel {
  std::string label;      ///< "1500 MHz", "5W"
  core::Hertz frequency;  ///< of the CPU; 0 if not published, which only a mode may be
  double voltage = 0;     ///< volts; 0 if not published
  Figure idle;            ///< the device while it waits
  Figure busy_one_core;   ///< the device with one core computing
  Figure busy;            ///< with all cores computing
  std::string mode = {};  ///< what the board's own tool calls it ("1"); empty: no power mode
  int cores = 0;          ///< that are on; 0: all of the board's
};

/// The whole machine around the device (boundary edge_cloud_machine): power supply, memory, fans.
struct MachinePower {
  Figure idle, busy;
};

/// Energy of one radio: P = base + per-byte energy * rate while a transfer runs (Huang et al.,
/// MobiSys 2012).
struct Radio {
  std::string name;  ///< "wifi", "lte", "3g", "ethernet"
  core::JoulesPerByte transmit, receive;
  core::Watts base;  ///< while a transfer runs
  std::string source;

  /// Joules a byte with the base power shared out at this rate.
  [[nodiscard]] core::JoulesPerByte transmit_at(core::BytesPerSecond rate) const {
    return transmit + core::JoulesPerByte(base.count() / rate.count());
  }
  [[nodiscard]] core::JoulesPerByte receive_at(core::BytesPerSecond rate) const {
    return receive + core::JoulesPerByte(base.count() / rate.count());
  }
};

struct Board {
  std::string name;   ///< "raspberry_pi_4"
  std::string title;  ///< "Raspberry Pi 4 Model B"
  std::string kind;   ///< "edge" or "server"
  int cores = 1;
  /// The levels are clocks, or power modes that set clocks and the number of cores together.
  bool by_mode = false;
  /// Whether the watts were measured on a machine of this kind by calibrate(). What is computed
  /// from them is modelled all the same.
  core::Origin origin = core::Origin::modelled;
  std::vector<BoardLevel> levels;       ///< ascending by frequency, modes by busy; at least one
  std::vector<Radio> radios;            ///< may be empty
  std::optional<MachinePower> machine;  ///< servers; an edge board is its own machine
  std::vector<std::string> sources;     ///< all of them, "key: title, address"

  /// P = idle + utilisation * (busy - idle), the linear utilisation model (Fan, Weber, Barroso,
  /// "Power provisioning for a warehouse-sized computer", ISCA 2007), where busy is interpolated
  /// linearly between one core and all by the number of cores at work. utilisation is of those
  /// cores, clamped to 0..1; active_cores to 0..cores_at(level) (0: idle).
  [[nodiscard]] CLEAVE_EXPORT core::Watts power(std::size_t level, int active_cores,
                                                double utilisation = 1) const;
  /// power() less idle: what the work adds to a processor that would be on anyway (boundary
  /// edge_cloud_device).
  [[nodiscard]] CLEAVE_EXPORT core::Watts added_power(std::size_t level, int active_cores,
                                                      double utilisation = 1) const;
  /// power() for the whole machine: linear in the device's power between machine idle and busy. An
  /// edge board gives power().
  [[nodiscard]] CLEAVE_EXPORT core::Watts machine_power(std::size_t level, int active_cores,
                                                        double utilisation = 1) const;
  /// The cores that are on at a level.
  [[nodiscard]] int cores_at(std::size_t level) const {
    return levels.at(level).cores > 0 ? levels.at(level).cores : cores;
  }
  /// How many of the board's cores `threads` of a machine with `cpus` CPUs stand for, when all CPUs
  /// stand for all cores: threads * cores / cpus, rounded up, at most all.
  [[nodiscard]] CLEAVE_EXPORT int cores_for(int threads, int cpus) const;
  /// Nothing if the board has no such radio.
  [[nodiscard]] CLEAVE_EXPORT const Radio* radio(const std::string& name) const;
  /// The operating points as CPU-share levels: value = scale * frequency / highest frequency, with
  /// the board's labels. scale: the share of one CPU that stands for the highest frequency, in
  /// (0, number of CPUs]. Not for modes (by_mode), which differ by more than a clock.
  [[nodiscard]] CLEAVE_EXPORT std::vector<core::Level> share_levels(double scale) const;
  /// One line for HostProfile::source: the distinct sources of the watts used.
  [[nodiscard]] CLEAVE_EXPORT std::string citation() const;
};

/// Reads a description; format in data/boards/README.md. Errors name file and field: not_found,
/// permission_denied, corrupt (not JSON), invalid_argument (a field is missing or makes no sense).
CLEAVE_EXPORT core::Result<Board> load_board(const std::filesystem::path& path);
/// By name ("raspberry_pi_4") or path (contains a '/' or ends in .json). Names are looked for in
/// $CLEAVE_DATA_DIR/boards, the install prefix's share/cleave/boards, and the source tree.
CLEAVE_EXPORT core::Result<Board> find_board(const std::string& name);
/// The folders that find_board looks in, first to last.
CLEAVE_EXPORT std::vector<std::filesystem::path> board_folders();
/// The names of all boards found, sorted.
CLEAVE_EXPORT std::vector<std::string> list_boards();

}  // namespace cleave::inline v0::device
