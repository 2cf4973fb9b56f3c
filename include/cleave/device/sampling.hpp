// Meters made of a sensor: a power that is sampled and integrated, or a counter that is followed.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/meter.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace cleave::inline v0::device {

/// The energy under samples of a power, by the trapezoidal rule on their own time stamps, so late
/// and missing samples cost precision and not truth. Not thread-safe.
class CLEAVE_EXPORT PowerIntegrator {
 public:
  /// A sample that is not later than the one before it replaces that one's power.
  void add(core::Seconds time, core::Watts power);
  /// The time up to the next sample is not counted.
  void interrupt() { last_.reset(); }

  [[nodiscard]] core::Joules joules() const { return joules_; }
  /// The standard error for want of samples: the square root of half the sum of
  /// ((p[i+1] - p[i]) * (t[i+1] - t[i]))^2, by the mean square successive difference (von Neumann
  /// et al., Annals of Mathematical Statistics 12, 1941). True for a power that changes at random
  /// between two samples, too large for one that changes slowly.
  [[nodiscard]] core::Joules error() const;
  [[nodiscard]] core::Seconds time() const { return time_; }  ///< that is counted
  [[nodiscard]] core::Seconds longest() const { return longest_; }
  [[nodiscard]] std::uint64_t intervals() const { return intervals_; }
  /// Over the time counted; the last sample where that is 0.
  [[nodiscard]] core::Watts mean() const;

 private:
  struct Sample {
    core::Seconds time;
    core::Watts power;
  };
  std::optional<Sample> last_;
  core::Watts power_;
  core::Joules joules_;
  double squares_ = 0;
  core::Seconds time_, longest_;
  std::uint64_t intervals_ = 0;
};

/// A sensor of power.
struct PowerSource {
  std::string name;    ///< the meter's: "hwmon:ina226/power1"
  std::string source;  ///< the files or the command it is read from
  std::function<core::Result<core::Watts>()> read;
  /// The sensor shows the mean of so long a time before; 0: not known, or none.
  core::Seconds averaging;
  core::Seconds period = core::milliseconds(20);  ///< between samples, unless an option says so
};

struct SamplingOptions {
  core::Seconds period;                ///< between samples; 0: PowerSource::period
  bool thread = true;                  ///< false: samples are those of read() and sample()
  std::shared_ptr<core::Clock> clock;  ///< a SteadyClock if null
};

/// Integrates a sensor of power. Counts from the first sample; the first read() starts a thread
/// ("cleave-meter") that samples until the meter goes; each read() takes a sample of its own, so
/// that the energy ends where the caller's work ends. A sample's time is the middle of the time
/// that reading it took; that time is the reading's overhead.
///
/// If a sample fails, the time until the next good one is not counted, and the next read() says so.
/// A reading's resolution is the energy of one sampling interval (or of the time over which the
/// sensor averages, if longer) at the mean power.
class CLEAVE_EXPORT SamplingMeter final : public Meter {
 public:
  /// Takes one sample, to see that there is a sensor. Errors: those of PowerSource::read;
  /// invalid_argument (a period below 0).
  static core::Result<std::unique_ptr<SamplingMeter>> open(
      PowerSource source, SamplingOptions options = {},
      core::Boundary boundary = core::Boundary::edge);
  ~SamplingMeter() override;
  [[nodiscard]] std::string name() const override;
  [[nodiscard]] core::Result<EnergyReading> read() override;

  /// Takes a sample now. Errors: those of the sensor.
  [[nodiscard]] core::Result<void> sample();
  [[nodiscard]] std::uint64_t samples() const;      ///< taken so far
  [[nodiscard]] core::Seconds longest_gap() const;  ///< between two of them
  [[nodiscard]] core::Watts mean_power() const;

 private:
  class Impl;
  explicit SamplingMeter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// A counter of energy.
struct CounterSource {
  std::string name;    ///< the meter's
  std::string source;  ///< the file it is read from
  std::function<core::Result<double>()> read;
  core::Joules unit;        ///< of one count
  core::Joules resolution;  ///< the least step that the counter takes
  double range = 0;         ///< counts after which it starts again from 0; 0: it never does
  bool falls = false;       ///< it counts what is left, as a battery does
  /// The hardware brings the counter up to date so often, whatever its unit: the energy of such a
  /// time at the mean power is the resolution, if that is more. 0: at once, or not known.
  core::Seconds update;
};

/// Follows a counter. One that goes the wrong way by other than one wrap was reset: the read says
/// so, and counting goes on from there. Read it at least once a wrap.
class CLEAVE_EXPORT CounterMeter final : public Meter {
 public:
  /// Errors: those of CounterSource::read; corrupt (not a count).
  /// `clock`: a SteadyClock if null.
  static core::Result<std::unique_ptr<CounterMeter>> open(
      CounterSource source, core::Boundary boundary = core::Boundary::edge,
      std::shared_ptr<core::Clock> clock = {});
  ~CounterMeter() override;
  [[nodiscard]] std::string name() const override;
  [[nodiscard]] core::Result<EnergyReading> read() override;

 private:
  class Impl;
  explicit CounterMeter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::device
