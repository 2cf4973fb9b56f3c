// What was measured of a host so far, so that a measurement can be interrupted and gone on with.
#pragma once

#include <cleave/profiler/host.hpp>

#include <cstddef>
#include <functional>
#include <vector>

namespace cleave::inline v0::profiler {

// Of one combination of levels, in seconds.
struct SettingSamples {
  std::vector<double> plain;                  // whole passes
  std::vector<std::vector<double>> per_step;  // in instrumented ones
  std::vector<double> exchanges;              // small requests to the other host and back
  std::vector<table::CodecCost> codecs;
};

// What went on beside the measurement, in seconds over all CPUs; see table::Conditions.
struct Surroundings {
  double wall = 0, capacity = 0, stolen = 0, others = 0;
  double busiest = -1, temperature = -1, waited = 0;
};

struct HostSamples {
  std::vector<SettingSamples> settings;  // one per combination that is measured
  std::size_t stretches = 0;             // finished: those of all settings, rounds times over
  Surroundings surroundings;
  double spent = 0;  // on finished stretches
};

// Knob levels are taken in this many rounds.
inline constexpr int host_rounds = 4;

// Whether the number of levels and the profile to transfer from can be measured with at all.
core::Result<void> check_host_options(const core::Executable& model, const HostOptions& options);

// As the public function, from where `samples` end. `kept` is called after each stretch, with the
// samples complete up to there; its error ends the measurement.
core::Result<table::HostProfile> measure_host(const core::Executable& model,
                                              const core::Values& example, device::Arbiter& knobs,
                                              const HostOptions& options, HostSamples& samples,
                                              const std::function<core::Result<void>()>& kept);

}  // namespace cleave::inline v0::profiler
