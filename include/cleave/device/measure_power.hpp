// The watts of a host at each combination of its knobs' levels, by a meter instead of a board.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/host.hpp>
#include <cleave/device/meter.hpp>

#include <functional>
#include <stop_token>
#include <string_view>

namespace cleave::inline v0::device {

struct PowerMeasurement {
  /// What the host does when it is busy, once: a pass of a network. Called on the calling thread.
  std::function<core::Result<void>()> work;
  std::function<void(core::Seconds)> idle;  ///< waits; std::this_thread::sleep_for if empty
  core::Seconds time = core::Seconds(2);    ///< of idling and of working, each, at least
  std::stop_token stop;
  std::function<void(double)> progress;  ///< the part that is done, 0..1
};

/// Idles, then works, at every combination of levels, and gives what the meter saw: busy, idle and,
/// as machine_busy, busy again. Work below the meter's resolution is repeated (measure_repeated).
/// Leaves the knobs at the last combination. The function returned throws std::out_of_range for
/// other levels. Errors: invalid_argument (no work, no time), unsupported (the meter computes
/// instead of measuring), cancelled, and those of meter, knobs and work.
CLEAVE_EXPORT core::Result<PowerOf> measure_power(Meter& meter, Arbiter& knobs,
                                                  const core::Clock& clock,
                                                  const PowerMeasurement& measurement);

}  // namespace cleave::inline v0::device
