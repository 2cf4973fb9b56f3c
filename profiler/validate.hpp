// Real requests against the profile's predictions.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::profiler {

struct ValidationOptions {
  int repeats = 5;         // requests at a configuration
  core::Seconds idle_gap;  // before each request, as in HostOptions
  std::function<void(core::Seconds)> idle;
  std::function<void(double)> progress;
  std::stop_token stop;
};

// `count` distinct configurations of the profile, drawn evenly over cuts, codecs and settings.
// Fewer if the space is smaller.
std::vector<core::Configuration> draw_configurations(const table::Profile& profile, int count,
                                                     std::uint64_t seed);

// What a request through the cloud takes beyond the predicted parts, the network's passes on both
// sides aside: the median of measured less predicted over the configurations that use the cloud,
// not below 0. Errc::unavailable if the cloud failed in a request.
core::Result<core::Seconds> fit_overhead(const table::Profile& profile, exec::Executor& executor,
                                         const std::vector<core::Configuration>& configurations,
                                         const core::Values& example,
                                         const ValidationOptions& options);

// Each configuration is measured twice, as the median latency of `repeats` requests: against the
// prediction, and against itself. Errors as above.
core::Result<table::PredictionError> validate(
    const table::Profile& profile, exec::Executor& executor,
    const std::vector<core::Configuration>& configurations, const core::Values& example,
    const ValidationOptions& options);

}  // namespace cleave::inline v0::profiler
