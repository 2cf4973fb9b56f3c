// How requests are drawn, measured and held against predictions.
#pragma once

#include "profiler/rest.hpp"

#include <cleave/core/result.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/profiler/validation.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::profiler {

struct ValidationOptions {
  int repeats = 5;   // requests at a configuration
  RestOptions rest;  // before each request
  std::function<void(double)> progress;
  std::stop_token stop;
  // Run before the first configuration and after each.
  std::optional<core::Configuration> reference;
  // Asked before each configuration: whether to leave it and the rest out. May be empty.
  std::function<bool()> enough;
  // Called after each configuration; its error ends the measurement. May be empty.
  std::function<core::Result<void>()> kept;
};

// What was measured of one configuration of a check, in seconds; see ValidatedConfiguration.
struct CheckedLatency {
  double latency = 0, again = 0;
};

enum class Draw { any, measured, predicted };

// `count` distinct configurations of the profile, drawn evenly over cuts, codecs and settings of
// the kind. Fewer if the space is smaller.
std::vector<core::Configuration> draw_configurations(const table::Profile& profile, int count,
                                                     std::uint64_t seed, Draw draw = Draw::any);

// `count` of the configurations, or all: of the cloud's settings in turn, those of short requests
// first. What requests take beyond their parts is a median over many, in little time.
std::vector<core::Configuration> quickest_of(const table::Profile& profile,
                                             std::vector<core::Configuration> configurations,
                                             int count);

// Half of `count` at predicted settings, if there are any, after the others and `extra` more, which
// are at measured ones.
std::vector<core::Configuration> draw_of_both(const table::Profile& profile, int count,
                                              std::uint64_t seed, int extra = 0);

// See validate_profile(); nothing if the profile allows no request to the cloud.
std::optional<core::Configuration> reference_of(const table::Profile& profile);

// What requests at one configuration show, in seconds beyond what is predicted.
struct FitSample {
  double beyond = 0;           // of all parts, the passes aside
  double edge = 0, cloud = 0;  // of the part of the network that ran there
  bool used_cloud = false;
};

// Takes what requests at these configurations, one sample each, show into the profile: the median
// of `beyond` as its overhead, not below 0, and Setting::in_requests: of each setting that several
// of them ran a part at, the median.
void take_in(const std::vector<FitSample>& samples,
             const std::vector<core::Configuration>& configurations, table::Profile& profile);

// Requests at the configurations, beside what the profile, without overhead, predicts. `samples`:
// for the first ones they are known already, the others are added. Errc::unavailable if the cloud
// failed in a request.
core::Result<void> fit_requests(const table::Profile& profile, exec::Executor& executor,
                                const std::vector<core::Configuration>& configurations,
                                const core::Values& example, const ValidationOptions& options,
                                std::vector<FitSample>& samples);

// Each configuration is measured twice, as the median latency of `repeats` requests: against the
// prediction, and against itself. `known`: of the first ones, which are not measured again and have
// no parts; the others are added. Errors as above.
core::Result<std::vector<ValidatedConfiguration>> check_configurations(
    const table::Profile& profile, exec::Executor& executor,
    const std::vector<core::Configuration>& configurations, const core::Values& example,
    const ValidationOptions& options, std::vector<CheckedLatency>& known);

// Of those at predicted settings, or of the others.
table::PredictionError summarise(std::span<const ValidatedConfiguration> configurations,
                                 bool predicted);

}  // namespace cleave::inline v0::profiler
