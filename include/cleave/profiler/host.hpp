// Times every step of a model on this machine, at every level of its knobs.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/host.hpp>
#include <cleave/device/sensors.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

namespace cleave::inline v0::profiler {

struct HostOptions {
  std::string name;           ///< the machine, for people
  std::string board, source;  ///< where the watts come from
  core::Provenance made_on;   ///< this machine and what the network runs on; kept in the profile
  device::PowerOf power;      ///< required
  /// Where a quota keeps a share: what is predicted then stalls where the quota ends. May be empty.
  device::SliceOf slice;
  /// Of a knob that is a frequency or a share of the CPU, measure so many levels, at least 3, far
  /// apart and with both ends, and predict the others. 0: measure all.
  int measure_levels = 0;
  /// A profile of the same network made on a similar device: measure only `probes` settings, at
  /// least 2, and predict the others by how the two devices compare (see transfer()). May be null.
  std::shared_ptr<const table::Profile> transfer_from;
  int probes = 0;
  core::JoulesPerByte transmit, receive;
  std::vector<std::string> codecs;  ///< to be priced
  /// Passes of each kind per combination of levels, and at least so long; the sum over a
  /// combination is bounded by max_time.
  int min_passes = 20;
  core::Seconds min_time = core::Seconds(0.6);
  core::Seconds max_time = core::Seconds(6);
  int warm_up = 2;  ///< passes that do not count, after each change of levels
  /// Before each pass the host idles for a random time of one to two of these. A request arrives at
  /// a host that was waiting: its caches are cold, its processor sleeps, and under a CPU quota its
  /// first milliseconds run untouched, then it stalls; there the gap is at least until the quota
  /// has paid back the CPU time of the pass before. Passes that start like requests have steps
  /// whose means add up to what a head of any length takes. 0: none.
  core::Seconds idle_gap;
  /// What all settings together may take: fewer passes of each then, the same number at every
  /// setting and at least one of each kind in each of four rounds. 0: no such bound.
  core::Seconds time_limit;
  /// A small request to the other host and back, timed at every setting; may be empty.
  std::function<core::Result<core::Seconds>()> exchange;
  /// Read around every stretch of passes, for HostProfile::conditions; may be null.
  std::shared_ptr<device::LoadSensor> load;
  /// CPU time of this process, all of its threads; the system's clock if empty.
  std::function<core::Seconds()> cpu_time;
  /// Before each stretch, wait until the machine is no hotter, in degrees Celsius, where it tells;
  /// but for no longer than the other. 0: never wait.
  double cool_below = 0;
  core::Seconds longest_wait = core::Seconds(20);
  std::uint64_t seed = 1;
  const core::Clock* clock = nullptr;       ///< a SteadyClock if null
  std::function<void(core::Seconds)> idle;  ///< waits; std::this_thread::sleep_for if empty
  std::function<void(double)> progress;     ///< of this host's work, 0..1
  std::stop_token stop;
};

/// One setting per combination of levels, taken in a shuffled order and in rounds, so that what
/// disturbs the machine for a while falls on all of them; per-step times from
/// instrumented passes, which alternate with plain ones, and whose step means are scaled so that
/// they add up to the mean of the plain passes: the instrumentation's overhead is removed, and
/// under a quota, where a step either runs untouched or stalls, means and not medians add up.
/// Spreads are over passes; passes that lie far off are kept, and counted in Setting::outliers.
/// Settings left out by measure_levels are predicted: times are linear in one over the rate, or
/// stall as a quota lets them (Setting::predicted). Runs on the calling thread and leaves the knobs
/// at whatever level was last measured. Errors: those of the model and the knobs; cancelled;
/// invalid_argument (measure_levels is 1, 2 or negative; fewer than two probes); mismatch (the
/// profile to transfer from is of another network or other knobs).
CLEAVE_EXPORT core::Result<table::HostProfile> measure_host(const core::Executable& model,
                                                            const core::Values& example,
                                                            device::Arbiter& knobs,
                                                            const HostOptions& options);

}  // namespace cleave::inline v0::profiler
