#include "profiler/statistics.hpp"
#include "profiler/validate.hpp"

#include <cleave/profiler/validation.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cleave::inline v0::profiler {
namespace {

core::Result<void> check_knobs(const table::Profile& profile, const device::Arbiter& knobs) {
  const auto& wanted = profile.hosts[core::edge_host].knobs;
  const std::vector<core::Knob> have = knobs.knobs();
  const bool same = std::equal(
      have.begin(), have.end(), wanted.begin(), wanted.end(),
      [](const auto& a, const auto& b) { return a.name == b.name && a.levels == b.levels; });
  if (!same)
    return core::fail(core::Errc::mismatch, "the profile was made for other knobs than this host's",
                      profile.model_name,
                      "give the board, levels and threads that it was made with");
  return {};
}

// The fastest that was measured.
const table::Setting* fastest_measured(const table::HostProfile& host) {
  const table::Setting* best = nullptr;
  for (const table::Setting& setting : host.settings)
    if (!setting.predicted && (best == nullptr || setting.whole.mean < best->whole.mean))
      best = &setting;
  return best;
}

}  // namespace

bool ValidatedConfiguration::covered() const {
  return std::abs((latency - predicted.total()).count()) <= predicted.total().count() * interval;
}

std::optional<core::Configuration> reference_of(const table::Profile& profile) {
  const table::Setting* edge = fastest_measured(profile.hosts[core::edge_host]);
  const table::Setting* cloud = fastest_measured(profile.hosts[core::cloud_host]);
  if (edge == nullptr || cloud == nullptr)
    return std::nullopt;
  std::optional<core::Configuration> best;
  double most_even = std::numeric_limits<double>::infinity();
  for (const table::CutProfile& cut : profile.cuts)
    for (const std::string& codec : profile.codecs) {
      if (codec != "raw" && !codec.starts_with("raw+"))
        continue;
      core::Configuration configuration;
      configuration.stages = {{core::edge_host, cut.id, edge->levels, cut.head},
                              {core::cloud_host, profile.cuts.back().id, cloud->levels}};
      configuration.codecs = {codec};
      const auto priced = table::price(profile, configuration);
      if (!priced || !priced->uses_cloud)
        continue;
      const double uneven = std::abs((priced->edge_compute - priced->cloud_compute).count());
      if (uneven < most_even) {
        most_even = uneven;
        best = std::move(configuration);
      }
    }
  return best;
}

core::Result<ValidationReport> validate_profile(const table::Profile& profile,
                                                std::shared_ptr<const core::Executable> model,
                                                const core::Values& example,
                                                device::Arbiter& edge_knobs, exec::Remote& cloud,
                                                const ValidateOptions& options) {
  if (profile.model.structure != model->fingerprint().structure)
    return core::fail(core::Errc::mismatch,
                      "the profile was made for another model, " + profile.model_name,
                      to_string(model->fingerprint()), "profile this model");
  if (auto same = check_knobs(profile, edge_knobs); !same)
    return core::fail(same);
  const core::SteadyClock steady;
  exec::ExecutorOptions timed;
  timed.clock = std::shared_ptr<const core::Clock>(
      options.clock != nullptr ? options.clock : &steady, [](const core::Clock*) {});
  exec::Executor executor(model, &edge_knobs, &cloud, timed);
  ValidationOptions validation;
  validation.repeats = options.repeats;
  validation.rest = {options.idle_gap, options.idle, options.slice, {}, options.clock};
  validation.progress = options.progress;
  validation.stop = options.stop;
  validation.reference = reference_of(profile);
  const auto drawn = draw_of_both(profile, options.configurations, options.seed);
  std::vector<CheckedLatency> latencies;
  auto checked = check_configurations(profile, executor, drawn, example, validation, latencies);
  if (!checked)
    return core::fail(checked);
  ValidationReport report;
  report.configurations = std::move(*checked);
  report.measured = summarise(report.configurations, false);
  report.predicted = summarise(report.configurations, true);
  std::vector<double> drifts;
  for (const ValidatedConfiguration& one : report.configurations)
    drifts.push_back(std::abs(one.drift));
  report.median_drift = median_of(drifts);
  report.worst_drift = quantile_of(drifts, 1);
  return report;
}

}  // namespace cleave::inline v0::profiler
