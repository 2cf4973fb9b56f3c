// Meters made of meters, and energies that are smaller than what a meter can see.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/meter.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// The sum of meters that count different parts of one boundary: CPU + GPU. One that is modelled
/// makes the sum modelled; resolutions add up, errors as independent ones do (by their squares).
class CLEAVE_EXPORT SumMeter final : public Meter {
 public:
  /// std::invalid_argument without meters.
  explicit SumMeter(std::vector<std::unique_ptr<Meter>> meters);
  ~SumMeter() override;
  [[nodiscard]] std::string name() const override;  ///< "rapl + nvml:0"
  /// The first meter's error; mismatch if their boundaries differ.
  [[nodiscard]] core::Result<EnergyReading> read() override;

 private:
  std::vector<std::unique_ptr<Meter>> meters_;
};

/// What a machine draws doing nothing.
struct IdlePower {
  core::Watts power;
  core::Watts error;  ///< the meter's resolution and error over the time it was measured
};

/// Reads the meter, calls `wait` (which waits, say, for ten seconds, and works as little as it
/// can), reads again. Errors: those of the meter; invalid_argument if no time has passed.
CLEAVE_EXPORT core::Result<IdlePower> measure_idle(Meter& meter, const std::function<void()>& wait,
                                                   const core::Clock& clock);

/// Another meter minus the idle power since this was made: what the work added. Noise may make it
/// fall for a while. The idle power's error times the time is part of the error; it is the same
/// error at all times, so that of a difference of two readings (between()) is overstated.
class CLEAVE_EXPORT AboveIdleMeter final : public Meter {
 public:
  /// `clock`: a SteadyClock if null. std::invalid_argument without a meter.
  AboveIdleMeter(std::unique_ptr<Meter> meter, IdlePower idle,
                 std::shared_ptr<core::Clock> clock = {});
  ~AboveIdleMeter() override;
  [[nodiscard]] std::string name() const override;  ///< "battery:BAT0 - idle"
  [[nodiscard]] core::Result<EnergyReading> read() override;

 private:
  std::unique_ptr<Meter> meter_;
  IdlePower idle_;
  std::shared_ptr<core::Clock> clock_;
  core::Seconds start_;
};

struct RepetitionOptions {
  /// The work is repeated until it has used so many resolutions of the meter: 100 make the figure
  /// good to 1 %.
  double resolutions = 100;
  int most = 1'000'000;                       ///< repetitions
  core::Seconds longest = core::Seconds(60);  ///< no repetition begins after that
};

/// The energy of one run of some work.
struct RepeatedEnergy {
  EnergyReading one;    ///< joules, resolution, error and overhead of one run
  int repetitions = 1;  ///< over which they are means; 1: the meter resolves a single run
  core::Seconds time;   ///< of all
  /// "120 uJ measured over 4096 repetitions, resolution 0.5 uJ"
  [[nodiscard]] CLEAVE_EXPORT std::string describe() const;
};

/// Runs the work once, and, if the meter does not see it well enough, again and again, doubling the
/// number between two looks at the meter. Errors: those of the meter and the work; invalid_argument
/// (options); exhausted if all the repetitions allowed used less than one resolution.
CLEAVE_EXPORT core::Result<RepeatedEnergy> measure_repeated(
    Meter& meter, const std::function<core::Result<void>()>& work, const core::Clock& clock,
    const RepetitionOptions& options = {});

}  // namespace cleave::inline v0::device
