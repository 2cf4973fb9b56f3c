#include "profiler/validate.hpp"

#include "profiler/statistics.hpp"

#include <cleave/table/predictor.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>
#include <thread>

namespace cleave::inline v0::profiler {

using core::Seconds;

std::vector<core::Configuration> draw_configurations(const table::Profile& profile, int count,
                                                     std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::vector<core::Configuration> drawn;
  // A space with fewer configurations than asked for ends by the number of tries.
  for (int tries = 0; tries < 200 * count && std::ssize(drawn) < count; ++tries) {
    const table::CutProfile& cut = profile.cuts[pick(profile.cuts.size())];
    const auto& edge = profile.hosts[0].settings[pick(profile.hosts[0].settings.size())];
    const auto& cloud = profile.hosts[1].settings[pick(profile.hosts[1].settings.size())];
    core::Configuration configuration;
    configuration.stages = {{core::edge_host, cut.id, edge.levels, cut.head},
                            {core::cloud_host, profile.cuts.back().id, cloud.levels}};
    configuration.codecs = {profile.codecs[pick(profile.codecs.size())]};
    if (cut.id == profile.cuts.back().id) {  // all on the edge: codec and cloud do not matter
      configuration.codecs = {profile.codecs.front()};
      configuration.stages.back().levels = profile.hosts[1].settings.front().levels;
    }
    const auto is = [&](const core::Configuration& other) { return other == configuration; };
    if (std::any_of(drawn.begin(), drawn.end(), is) || !table::price(profile, configuration))
      continue;
    drawn.push_back(std::move(configuration));
  }
  return drawn;
}

namespace {

// `repeats` requests at the configuration, after one that switches the knobs.
core::Result<std::vector<exec::MeasuredParts>> measure(exec::Executor& executor,
                                                       const core::Configuration& configuration,
                                                       const core::Values& example,
                                                       const ValidationOptions& options) {
  std::vector<exec::MeasuredParts> requests;
  for (int i = 0; i < options.repeats + 1; ++i) {
    if (options.stop.stop_requested())
      return core::fail(core::Errc::cancelled, "interrupted");
    if (options.idle_gap > Seconds(0)) {
      // Golden-ratio fractions spread the starts over the quota's period.
      const Seconds gap = options.idle_gap * (1 + std::fmod(0.618033988749895 * i, 1.0));
      if (options.idle)
        options.idle(gap);
      else
        std::this_thread::sleep_for(std::chrono::duration<double>(gap.count()));
    }
    const auto execution = executor.execute(configuration, example);
    if (!execution)
      return core::fail(execution);
    if (execution->fell_back)
      return tl::unexpected<core::Error>(*execution->remote_error);
    if (i > 0)
      requests.push_back(execution->parts);
  }
  return requests;
}

Seconds median_latency(const std::vector<exec::MeasuredParts>& requests) {
  std::vector<double> totals;
  for (const exec::MeasuredParts& parts : requests) totals.push_back(parts.total.count());
  return Seconds(median_of(totals));
}

}  // namespace

core::Result<Seconds> fit_overhead(const table::Profile& profile, exec::Executor& executor,
                                   const std::vector<core::Configuration>& configurations,
                                   const core::Values& example, const ValidationOptions& options) {
  std::vector<double> beyond;
  for (std::size_t i = 0; i < configurations.size(); ++i) {
    const auto ingredients = table::price(profile, configurations[i]);
    if (!ingredients)
      return core::fail(ingredients);
    if (!ingredients->uses_cloud)
      continue;
    const auto requests = measure(executor, configurations[i], example, options);
    if (!requests)
      return core::fail(requests);
    // The passes through the neural network are left out on both sides: steps are priced elsewhere,
    // and what slows a machine down for a while would be taken for a slow link for ever.
    const auto predicted =
        table::compose(*ingredients, table::link_of(profile), Seconds(0)).latency;
    const Seconds moving = predicted.total() - predicted.edge_compute - predicted.cloud_compute;
    std::vector<double> differences;
    for (const exec::MeasuredParts& parts : *requests)
      differences.push_back(
          (parts.total - parts.edge_compute - parts.queue - parts.cloud_compute - moving).count());
    beyond.push_back(median_of(differences));
    if (options.progress)
      options.progress(static_cast<double>(i + 1) / static_cast<double>(configurations.size()));
  }
  return Seconds(std::max(0.0, median_of(beyond)));
}

core::Result<table::PredictionError> validate(
    const table::Profile& profile, exec::Executor& executor,
    const std::vector<core::Configuration>& configurations, const core::Values& example,
    const ValidationOptions& options) {
  std::vector<double> errors;
  std::vector<double> repeats;
  for (std::size_t i = 0; i < configurations.size(); ++i) {
    const auto ingredients = table::price(profile, configurations[i]);
    if (!ingredients)
      return core::fail(ingredients);
    const Seconds predicted =
        table::compose(*ingredients, table::link_of(profile), Seconds(0)).latency.total();
    Seconds latency[2];
    for (Seconds& median : latency) {
      const auto requests = measure(executor, configurations[i], example, options);
      if (!requests)
        return core::fail(requests);
      median = median_latency(*requests);
    }
    errors.push_back(std::abs(predicted / latency[0] - 1));
    repeats.push_back(std::abs(latency[1] / latency[0] - 1));
    if (options.progress)
      options.progress(static_cast<double>(i + 1) / static_cast<double>(configurations.size()));
  }
  table::PredictionError error;
  error.configurations = static_cast<std::uint32_t>(errors.size());
  error.median_relative = median_of(errors);
  error.p90_relative = quantile_of(errors, 0.9);
  error.repeat_median_relative = median_of(repeats);
  error.repeat_p90_relative = quantile_of(repeats, 0.9);
  return error;
}

}  // namespace cleave::inline v0::profiler
