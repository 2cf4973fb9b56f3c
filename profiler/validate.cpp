#include "profiler/validate.hpp"

#include "profiler/statistics.hpp"

#include <cleave/table/predictor.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <random>

namespace cleave::inline v0::profiler {

using core::Seconds;

namespace {

// Pointers to a host's settings that were measured, or predicted, or to all.
std::vector<const table::Setting*> settings_of(const table::HostProfile& host, Draw draw) {
  std::vector<const table::Setting*> settings;
  for (const table::Setting& setting : host.settings)
    if (draw == Draw::any || setting.predicted == (draw == Draw::predicted))
      settings.push_back(&setting);
  return settings;
}

}  // namespace

std::vector<core::Configuration> draw_configurations(const table::Profile& profile, int count,
                                                     std::uint64_t seed, Draw draw) {
  std::mt19937_64 random(seed);
  const auto pick = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  std::vector<core::Configuration> drawn;
  // The edge's settings are what a prediction is about; the cloud measures all of its own.
  const auto edges = settings_of(profile.hosts[core::edge_host], draw);
  const auto clouds = settings_of(profile.hosts[core::cloud_host],
                                  draw == Draw::measured ? Draw::measured : Draw::any);
  if (edges.empty() || clouds.empty())
    return drawn;
  // A space with fewer configurations than asked for ends by the number of tries.
  for (int tries = 0; tries < 200 * count && std::ssize(drawn) < count; ++tries) {
    const table::CutProfile& cut = profile.cuts[pick(profile.cuts.size())];
    const table::Setting& edge = *edges[pick(edges.size())];
    const table::Setting& cloud = *clouds[pick(clouds.size())];
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

std::vector<core::Configuration> quickest_of(const table::Profile& profile,
                                             std::vector<core::Configuration> configurations,
                                             int count) {
  std::map<std::vector<core::LevelIndex>, std::vector<std::pair<double, core::Configuration>>> of;
  for (core::Configuration& configuration : configurations) {
    const auto priced = table::price(profile, configuration);
    const auto parts = table::compose(priced.value(), table::link_of(profile), Seconds(0));
    of[configuration.stages[core::cloud_host].levels].emplace_back(parts.latency.total().count(),
                                                                   std::move(configuration));
  }
  const auto shorter = [](const auto& a, const auto& b) { return a.first < b.first; };
  for (auto& [levels, requests] : of) std::stable_sort(requests.begin(), requests.end(), shorter);
  std::vector<core::Configuration> quickest;
  for (std::size_t rank = 0; rank < configurations.size(); ++rank)
    for (auto& [levels, requests] : of)
      if (rank < requests.size() && std::ssize(quickest) < count)
        quickest.push_back(std::move(requests[rank].second));
  return quickest;
}

std::vector<core::Configuration> draw_of_both(const table::Profile& profile, int count,
                                              std::uint64_t seed, int extra) {
  auto predicted = draw_configurations(profile, count / 2, seed, Draw::predicted);
  auto all = draw_configurations(profile, count + extra - static_cast<int>(predicted.size()), seed,
                                 Draw::measured);
  all.insert(all.end(), std::make_move_iterator(predicted.begin()),
             std::make_move_iterator(predicted.end()));
  return all;
}

namespace {

struct Requests {
  std::vector<exec::MeasuredParts> parts;
  // Under a quota the same request either runs untouched or stalls, and it is a mean that is
  // predicted; elsewhere a median tells what is usual.
  bool may_stall = false;
};

// `repeats` requests at the configuration, after one that switches the knobs.
core::Result<Requests> measure(exec::Executor& executor, const core::Configuration& configuration,
                               const core::Values& example, const ValidationOptions& options,
                               Rest& rest) {
  Requests requests;
  const auto& levels = configuration.stages[core::edge_host].levels;
  for (int i = 0; i < options.repeats + 1; ++i) {
    if (options.stop.stop_requested())
      return core::fail(core::Errc::cancelled, "interrupted");
    // Golden-ratio fractions spread the starts over the quota's period.
    rest.wait(std::fmod(0.618033988749895 * i, 1.0), levels);
    const auto execution = executor.execute(configuration, example);
    if (!execution)
      return core::fail(execution);
    if (execution->fell_back)
      return tl::unexpected<core::Error>(*execution->remote_error);
    if (i > 0)
      requests.parts.push_back(execution->parts);
  }
  const auto slice = options.rest.slice ? options.rest.slice(levels) : std::nullopt;
  requests.may_stall = slice && slice->quota < slice->period;
  return requests;
}

template <class Part>
Seconds middle_of(const Requests& requests, Part part) {
  std::vector<double> times;
  for (const exec::MeasuredParts& parts : requests.parts) times.push_back((parts.*part).count());
  return Seconds(requests.may_stall ? mean_of(times) : median_of(times));
}

Seconds latency_of(const Requests& requests) {
  return middle_of(requests, &exec::MeasuredParts::total);
}

table::LatencyParts parts_of(const Requests& requests) {
  using Parts = exec::MeasuredParts;
  table::LatencyParts latency;
  latency.edge_compute = middle_of(requests, &Parts::edge_compute);
  latency.encode = middle_of(requests, &Parts::encode);
  latency.transfer = middle_of(requests, &Parts::upload);
  latency.decode = middle_of(requests, &Parts::decode);
  latency.round_trip = middle_of(requests, &Parts::network);
  latency.queue = middle_of(requests, &Parts::queue);
  latency.cloud_compute = middle_of(requests, &Parts::cloud_compute);
  latency.reply = middle_of(requests, &Parts::reply);
  return latency;
}

}  // namespace

core::Result<void> fit_requests(const table::Profile& profile, exec::Executor& executor,
                                const std::vector<core::Configuration>& configurations,
                                const core::Values& example, const ValidationOptions& options,
                                std::vector<FitSample>& samples) {
  Rest rest(options.rest);
  for (std::size_t i = samples.size(); i < configurations.size(); ++i) {
    if (options.enough && options.enough())
      break;
    const auto ingredients = table::price(profile, configurations[i]);
    if (!ingredients)
      return core::fail(ingredients);
    const auto requests = measure(executor, configurations[i], example, options, rest);
    if (!requests)
      return core::fail(requests);
    const auto predicted =
        table::compose(*ingredients, table::link_of(profile), Seconds(0)).latency;
    // The passes through the neural network are left out: how much longer they take depends on the
    // setting.
    const Seconds moving = predicted.total() - predicted.edge_compute - predicted.cloud_compute;
    std::vector<double> differences;
    for (const exec::MeasuredParts& parts : requests->parts)
      differences.push_back(
          (parts.total - parts.edge_compute - parts.queue - parts.cloud_compute - moving).count());
    const auto longer = [&](Seconds exec::MeasuredParts::*part, Seconds expected) {
      return expected > Seconds(0) ? (middle_of(*requests, part) - expected).count() : 0;
    };
    samples.push_back(
        {.beyond = median_of(differences),
         .edge = longer(&exec::MeasuredParts::edge_compute, predicted.edge_compute),
         .cloud = longer(&exec::MeasuredParts::cloud_compute, predicted.cloud_compute),
         .used_cloud = ingredients->uses_cloud});
    if (options.kept)
      if (auto kept = options.kept(); !kept)
        return core::fail(kept);
    if (options.progress)
      options.progress(static_cast<double>(i + 1) / static_cast<double>(configurations.size()));
  }
  return {};
}

void take_in(const std::vector<FitSample>& samples,
             const std::vector<core::Configuration>& configurations, table::Profile& profile) {
  std::vector<double> beyond;
  std::array<std::map<std::vector<core::LevelIndex>, std::vector<double>>, 2> longer;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto& stages = configurations[i].stages;
    if (samples[i].used_cloud) {
      beyond.push_back(samples[i].beyond);
      longer[core::cloud_host][stages[core::cloud_host].levels].push_back(samples[i].cloud);
    }
    if (samples[i].edge != 0)
      longer[core::edge_host][stages[core::edge_host].levels].push_back(samples[i].edge);
  }
  profile.link.overhead = Seconds(std::max(0.0, median_of(beyond)));
  for (const core::HostIndex host : {core::edge_host, core::cloud_host})
    for (table::Setting& setting : profile.hosts[host].settings) {
      const std::vector<double>& found = longer[host][setting.levels];
      constexpr std::size_t several = 3;
      if (found.size() < several)
        continue;
      // A median that its own standard error (1.2533 of a mean's) may have moved from 0 is chance.
      const double middle = median_of(found);
      std::vector<double> distances;
      for (const double one : found) distances.push_back(std::abs(one - middle));
      const double error =
          1.2533 * 1.4826 * median_of(distances) / std::sqrt(static_cast<double>(found.size()));
      setting.in_requests = Seconds(middle > error ? middle : 0);
    }
}

core::Result<std::vector<ValidatedConfiguration>> check_configurations(
    const table::Profile& profile, exec::Executor& executor,
    const std::vector<core::Configuration>& configurations, const core::Values& example,
    const ValidationOptions& options, std::vector<CheckedLatency>& known) {
  const std::size_t before = known.size();
  Rest rest(options.rest);
  std::vector<double> references;
  const auto run_reference = [&]() -> core::Result<void> {
    if (!options.reference)
      return {};
    const auto requests = measure(executor, *options.reference, example, options, rest);
    if (!requests)
      return core::fail(requests);
    references.push_back(latency_of(*requests).count());
    return {};
  };
  if (auto ran = run_reference(); !ran)
    return core::fail(ran);
  std::vector<ValidatedConfiguration> checked;
  for (const core::Configuration& configuration : configurations) {
    const auto ingredients = table::price(profile, configuration);
    if (!ingredients)
      return core::fail(ingredients);
    ValidatedConfiguration one;
    one.configuration = configuration;
    one.predicted_setting = table::is_predicted(profile, configuration);
    one.predicted = table::compose(*ingredients, table::link_of(profile), Seconds(0)).latency;
    one.interval = *table::interval_of(profile, configuration);
    if (checked.size() < before) {
      one.latency = Seconds(known[checked.size()].latency);
      one.again = Seconds(known[checked.size()].again);
      checked.push_back(std::move(one));
      continue;
    }
    if (options.enough && options.enough())
      break;
    const auto requests = measure(executor, configuration, example, options, rest);
    if (!requests)
      return core::fail(requests);
    one.latency = latency_of(*requests);
    one.measured = parts_of(*requests);
    const auto again = measure(executor, configuration, example, options, rest);
    if (!again)
      return core::fail(again);
    one.again = latency_of(*again);
    known.push_back({one.latency.count(), one.again.count()});
    checked.push_back(std::move(one));
    if (options.kept)
      if (auto kept = options.kept(); !kept)
        return core::fail(kept);
    if (auto ran = run_reference(); !ran)
      return core::fail(ran);
    if (options.progress)
      options.progress(static_cast<double>(checked.size()) /
                       static_cast<double>(configurations.size()));
  }
  const double usual = median_of(references);
  for (std::size_t i = 0; i + 1 < references.size() && usual > 0; ++i)
    checked[i].drift = (references[i] + references[i + 1]) / (2 * usual) - 1;
  return checked;
}

table::PredictionError summarise(std::span<const ValidatedConfiguration> configurations,
                                 bool predicted) {
  std::vector<double> errors, repeats;
  double covered = 0;
  for (const ValidatedConfiguration& one : configurations) {
    if (one.predicted_setting != predicted)
      continue;
    errors.push_back(std::abs(one.error()));
    repeats.push_back(std::abs(one.repeat_error()));
    covered += one.covered() ? 1 : 0;
  }
  table::PredictionError error;
  if (errors.empty())
    return error;
  const auto count = static_cast<double>(errors.size());
  error.configurations = static_cast<std::uint32_t>(errors.size());
  error.median_relative = median_of(errors);
  error.p90_relative = quantile_of(errors, 0.9);
  error.p95_relative = quantile_of(errors, 0.95);
  error.repeat_median_relative = median_of(repeats);
  error.repeat_p90_relative = quantile_of(repeats, 0.9);
  error.repeat_p95_relative = quantile_of(repeats, 0.95);
  error.covered = covered / count;
  const auto rank = static_cast<std::size_t>(std::ceil(0.9 * (count + 1)));
  std::sort(errors.begin(), errors.end());
  if (rank > errors.size())
    return error;
  double squares = 0;
  for (const double one : errors) squares += one * one;
  // Of the chi-squared distribution with `count` degrees of freedom, the 0.1 quantile (E. Wilson
  // and M. Hilferty, 1931).
  constexpr double normal_95 = 1.6449, normal_90 = 1.2816;
  const double variance = 2 / (9 * count);
  const double chi = count * std::pow(1 - variance - normal_90 * std::sqrt(variance), 3);
  error.interval = std::max(errors[rank - 1], normal_95 * std::sqrt(squares / chi));
  return error;
}

}  // namespace cleave::inline v0::profiler
