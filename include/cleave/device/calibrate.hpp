// Fits a board description from a real meter: what this machine draws idle, with one core at work
// and with all of them, at each level of a knob.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/busy_load.hpp>
#include <cleave/device/fit_power.hpp>
#include <cleave/device/meter.hpp>

#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::device {

struct CalibrationOptions {
  std::string name;                         ///< of the board: letters, digits and _
  std::string title;                        ///< empty: the name
  int all = 1;                              ///< cores of the machine
  std::vector<int> cores;                   ///< to keep busy, from 1 to `all`; empty: 1 and `all`
  std::vector<double> shares = {1};         ///< of the time, in (0, 1]
  core::Seconds time = core::Seconds(5);    ///< of one measurement, at least
  core::Seconds settle = core::Seconds(1);  ///< of the same load before each measurement
  int rounds = 3;  ///< over all levels and loads, there and back in turn, so that drift cancels
  std::stop_token stop;
  /// Lets so much time pass; sleeps if empty. Errors end the calibration.
  std::function<core::Result<void>(core::Seconds)> wait;
  /// Called before each measurement with the part that is done and what comes next.
  std::function<void(double, std::string_view)> progress;
};

struct CalibratedLevel {
  core::Level level;
  FittedPower power;
};

struct Calibration {
  std::string name, title;
  int cores = 1;
  std::string knob;    ///< its name; "" without one
  std::string unit;    ///< its unit: "Hz"; "" for words
  std::string meter;   ///< its name
  std::string source;  ///< what the meter reads
  core::Seconds time;  ///< that everything took
  std::vector<CalibratedLevel> levels;

  /// The description, data/boards/README.md, format 2. Levels of a knob in Hz are frequencies, all
  /// others power modes.
  [[nodiscard]] CLEAVE_EXPORT std::string to_json() const;
};

/// Measures at every level of the arbiter's knob, of which there may be one or none. The meter is
/// read while the load goes on, so that the time that reading takes is like the rest. An energy
/// that the meter does not resolve well is measured for longer (measure_repeated). The caller's
/// arbiter puts the knob back. Errors: invalid_argument (options, several knobs), unsupported (the
/// meter computes instead of measuring), cancelled, and those of meter, knob, load and fit_power().
CLEAVE_EXPORT core::Result<Calibration> calibrate(Meter& meter, Arbiter& knobs, const Load& load,
                                                  const core::Clock& clock,
                                                  const CalibrationOptions& options);

/// Writes to_json(), atomically. Errors: those of core::write_file().
CLEAVE_EXPORT core::Result<void> save(const Calibration& calibration,
                                      const std::filesystem::path& path);

}  // namespace cleave::inline v0::device
