#include "optimizer/archive.hpp"
#include "optimizer/check_options.hpp"
#include "optimizer/observation_space.hpp"
#include "optimizer/table_builder.hpp"

#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/observations.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using table::ObservedConfiguration;
using table::ObservedRun;

Result<void> check(const table::Observations& observations, const ObservationOptions& options) {
  if (observations.knobs.empty() || observations.configurations.empty())
    return fail(Errc::invalid_argument, "there are no observations", observations.name);
  return check_search(options);
}

// Relative to the mean: the sum of squares that repeated runs are off by, and their degrees of
// freedom.
struct Scatter {
  double squares = 0;
  double degrees = 0;
};

Scatter scatter_of(const ObservedConfiguration& configuration) {
  Scatter out{.squares = 0, .degrees = static_cast<double>(configuration.runs.size() - 1)};
  const double mean = table::mean_of(configuration).latency.count();
  for (const ObservedRun& run : configuration.runs)
    out.squares += std::pow(run.latency.count() / mean - 1, 2);
  return out;
}

double spread_of(const ObservedConfiguration& configuration, double pooled_variance) {
  constexpr double prior_degrees = 4;
  const Scatter own = scatter_of(configuration);
  const double variance =
      (prior_degrees * pooled_variance + own.squares) / (prior_degrees + own.degrees);
  return std::sqrt(variance * (1 + 1 / static_cast<double>(configuration.runs.size())));
}

table::TableRow row_of(const table::Observations& observations,
                       const ObservedConfiguration& configuration,
                       const ObservationOptions& options) {
  const ObservedRun mean = table::mean_of(configuration);
  table::TableRow row;
  row.configuration.stages = {
      {.host = core::edge_host, .end = {}, .levels = configuration.levels},
      {.host = core::cloud_host, .end = {}, .levels = {}},
  };
  row.configuration.codecs = {"raw"};
  row.ingredients.edge_compute = mean.latency;
  row.ingredients.edge_busy = core::Watts(mean.energy.count() / mean.latency.count());
  row.ingredients.origin = options.origin;
  row.ingredients.accuracy.value = mean.accuracy;
  if (observations.has_accuracy) {
    row.ingredients.accuracy.samples = static_cast<std::uint32_t>(configuration.runs.size());
    row.ingredients.accuracy.basis = table::Accuracy::Basis::labels;
  }
  row.label = table::describe(observations.knobs, configuration.levels);
  row.latency = mean.latency;
  row.energy = mean.energy;
  return row;
}

// Of the first two objectives.
double covered(const std::vector<Objectives>& points, const Box& box) {
  std::vector<std::vector<double>> plane;
  for (const Objectives& point : points) plane.push_back({point[0], point[1]});
  return hypervolume(plane, {box.ideal[0], box.ideal[1]}, {box.reference[0], box.reference[1]});
}

// From the best mean to the worst single run.
Box box_of(const std::vector<Objectives>& means, const table::Observations& observations) {
  Box box = bounding_box(means);
  for (const ObservedConfiguration& configuration : observations.configurations)
    for (const ObservedRun& run : configuration.runs) {
      box.reference[0] = std::max(box.reference[0], std::log(run.latency.count()));
      box.reference[1] = std::max(box.reference[1], std::log(run.energy.count()));
    }
  return box;
}

}  // namespace

double extra_energy(const std::vector<Objectives>& some, const std::vector<Objectives>& all) {
  const auto by_latency = [](const Objectives& a, const Objectives& b) { return a < b; };
  const auto by_energy = [](const Objectives& a, const Objectives& b) { return a[1] < b[1]; };
  const double least = (*std::min_element(all.begin(), all.end(), by_latency))[0];
  const double most = (*std::min_element(all.begin(), all.end(), by_energy))[0];
  const auto energy_at = [&](const std::vector<Objectives>& points, double deadline) {
    double best = std::numeric_limits<double>::infinity();
    for (const Objectives& point : points)
      if (point[0] <= deadline)
        best = std::min(best, point[1]);
    return std::isfinite(best) ? best
                               : (*std::min_element(points.begin(), points.end(), by_latency))[1];
  };
  constexpr int deadlines = 200;
  double sum = 0;
  for (int i = 0; i < deadlines; ++i) {
    const double deadline = least + (most - least) * i / (deadlines - 1);
    sum += std::expm1(energy_at(some, deadline) - energy_at(all, deadline));
  }
  return sum / deadlines;
}

Result<ObservedTable> optimize(const table::Observations& observations,
                               const ObservationOptions& options) {
  if (const auto ok = check(observations, options); !ok)
    return fail(ok);
  const auto space =
      ObservationSpace::make(observations, options.accuracy_floor, options.accuracy_step);
  if (!space)
    return fail(space);

  // A hair more than the share, so that 7 % of 100 are 7.
  const auto share = static_cast<std::uint64_t>(
      std::floor(options.budget_share * static_cast<double>(space->size()) + 1e-9));
  const auto found = search(
      *space,
      {.algorithm = options.algorithm,
       .budget = options.evaluations != 0 ? options.evaluations : std::max<std::uint64_t>(1, share),
       .population = options.population,
       .seed = options.seed,
       .seeded = options.seeded,
       .screened = options.screened,
       .progress = options.progress,
       .stop = options.stop});
  if (!found)
    return fail(found);
  if (found->archive.empty())
    return fail(Errc::cancelled, "stopped before anything was looked at", observations.name);

  ObservedTable out;
  table::ParetoTable& table = out.table;
  table.model_name = observations.name;
  table.edge_knobs = observations.knobs;
  table.boundary = options.boundary;
  table.margin = options.margin;
  Scatter pooled;
  for (const Evaluated& entry : found->archive) {
    const Scatter own = scatter_of(space->configuration(entry.point));
    pooled = {.squares = pooled.squares + own.squares, .degrees = pooled.degrees + own.degrees};
  }
  constexpr double unknown_spread = 0.05;
  const double variance =
      pooled.degrees > 0 ? pooled.squares / pooled.degrees : unknown_spread * unknown_spread;
  for (const Kept& kept :
       keep(*space, found->archive, {.margin = options.margin, .max_rows = options.max_rows})) {
    const ObservedConfiguration& configuration =
        space->configuration(found->archive[kept.entry].point);
    table.rows.push_back(row_of(observations, configuration, options));
    table.rows.back().ingredients.spread = spread_of(configuration, variance);
    table.rows.back().on_front = kept.on_front;
  }
  std::stable_sort(table.rows.begin(), table.rows.end(),
                   [](const table::TableRow& a, const table::TableRow& b) {
                     return std::pair(a.energy, a.latency) < std::pair(b.energy, b.latency);
                   });

  std::vector<Objectives> seen, all;
  for (const Evaluated& entry : found->archive) seen.push_back(entry.objectives);
  for (const Point& point : space->listed()) all.push_back(space->evaluate(point));
  const Box seen_box = bounding_box(seen);
  table.search = {.algorithm = std::string(to_string(options.algorithm)),
                  .seed = options.seed,
                  .space = space->size(),
                  .evaluations = found->archive.size(),
                  .hypervolume = hypervolume(seen, seen_box.ideal, seen_box.reference)};
  const Box box = box_of(all, observations);
  const double whole = covered(all, box);
  out.hypervolume_share = whole > 0 ? covered(seen, box) / whole : 1;
  out.extra_energy = extra_energy(seen, all);
  return out;
}

}  // namespace cleave::inline v0::optimizer
