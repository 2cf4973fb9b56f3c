// Real requests against a profile's predictions, also long after the profile was made.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/host.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::profiler {

struct ValidateOptions {
  int configurations = 20;
  int repeats = 5;         ///< requests at a configuration; their median counts, or mean by `slice`
  core::Seconds idle_gap;  ///< before each request one to two of these, as in HostOptions
  /// As HostOptions::slice: where requests stall under a quota, their mean counts, and each waits
  /// until the CPU time of the one before is paid back. May be empty.
  device::SliceOf slice;
  std::function<void(core::Seconds)> idle;  ///< waits; std::this_thread::sleep_for if empty
  std::uint64_t seed = 1;
  const core::Clock* clock = nullptr;  ///< a SteadyClock if null
  std::function<void(double)> progress;
  std::stop_token stop;
};

/// One configuration, end to end. Times are medians over the requests (means where a
/// quota stalls some), each part's by itself.
struct ValidatedConfiguration {
  core::Configuration configuration;
  bool predicted_setting = false;  ///< see table::is_predicted()
  /// On the profile's link with an empty queue.
  table::LatencyParts predicted;
  /// `round_trip` holds all that a request takes on its way beside the transfer of bodies, so that
  /// it stands against round_trip + overhead of the prediction.
  table::LatencyParts measured;
  core::Seconds latency;  ///< measured, of the whole request
  core::Seconds again;    ///< the same, measured a second time
  double interval = 0;    ///< see table::interval_of()
  /// What the reference runs before and after took, relative to the median of all reference runs,
  /// less 1: 0.05 is a machine or a link that was 5 % slower just then. 0 without such runs.
  double drift = 0;

  /// (predicted - measured) / measured.
  [[nodiscard]] double error() const { return predicted.total() / latency - 1; }
  [[nodiscard]] double repeat_error() const { return again / latency - 1; }
  [[nodiscard]] bool covered() const;
};

struct ValidationReport {
  std::vector<ValidatedConfiguration> configurations;
  table::PredictionError measured, predicted;  ///< of settings measured, and predicted
  double median_drift = 0, worst_drift = 0;    ///< of |drift|
};

/// Measures random configurations of the profile against the cloud, half of them at predicted
/// settings if it has such, the others at measured ones. A reference configuration (the fastest
/// measured settings, a lossless codec, the cut that divides the work most evenly) runs before the
/// first and after each. Errors: mismatch (the profile is of another network, or of other knobs),
/// unavailable (the cloud failed in a request), those of the model and the knobs, cancelled.
CLEAVE_EXPORT core::Result<ValidationReport> validate_profile(
    const table::Profile& profile, std::shared_ptr<const core::Executable> model,
    const core::Values& example, device::Arbiter& edge_knobs, exec::Remote& cloud,
    const ValidateOptions& options);

}  // namespace cleave::inline v0::profiler
