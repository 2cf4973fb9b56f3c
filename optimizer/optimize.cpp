#include "optimizer/archive.hpp"
#include "optimizer/check_options.hpp"
#include "optimizer/profile_space.hpp"
#include "optimizer/table_builder.hpp"

#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/optimize.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using table::LinkState;

bool sensible(const LinkState& link) {
  return link.round_trip.count() >= 0 && std::isfinite(link.round_trip.count()) &&
         link.up.count() > 0 && link.down.count() > 0;
}

Result<void> check(const OptimizeOptions& options) {
  const auto bad = [](std::string what, const char* where) -> Result<void> {
    return fail(Errc::invalid_argument, std::move(what), where);
  };
  if (auto searchable = check_search(options); !searchable)
    return searchable;
  for (const double factor : options.bandwidth_factors)
    if (!(factor > 0) || !std::isfinite(factor))
      return bad("a bandwidth factor must be a number above 0", "links");
  for (const LinkState& link : options.links)
    if (!sensible(link))
      return bad("a link needs bandwidths above 0 and a round trip", "links");
  if (options.reference && !sensible(*options.reference))
    return bad("the reference link needs bandwidths above 0 and a round trip", "links");
  for (const core::Seconds queue : options.queues)
    if (!(queue.count() >= 0) || !std::isfinite(queue.count()))
      return bad("a queue must be 0 or longer", "queues");
  return {};
}

std::vector<Context> contexts_of(const LinkState& reference, const OptimizeOptions& options) {
  std::vector<Context> contexts = {{reference, core::Seconds()}};
  for (const double factor : options.bandwidth_factors)
    contexts.push_back(
        {{reference.round_trip, reference.up * factor, reference.down * factor}, core::Seconds()});
  for (const LinkState& link : options.links) contexts.push_back({link, core::Seconds()});
  for (const core::Seconds queue : options.queues) contexts.push_back({reference, queue});
  return contexts;
}

}  // namespace

Result<std::uint64_t> count_configurations(const table::Profile& profile, double accuracy_floor) {
  ProfileSpaceOptions options;
  options.accuracy_floor = accuracy_floor;
  options.contexts = {{table::link_of(profile), core::Seconds()}};
  const auto space = ProfileSpace::make(profile, options);
  if (!space)
    return fail(space);
  return space->size();
}

Result<table::ParetoTable> optimize(const table::Profile& profile, const OptimizeOptions& options) {
  if (const auto ok = check(options); !ok)
    return fail(ok);
  const LinkState reference = options.reference.value_or(table::link_of(profile));
  const auto space = ProfileSpace::make(profile, {.boundary = options.boundary,
                                                  .accuracy_floor = options.accuracy_floor,
                                                  .accuracy_objective = options.accuracy_objective,
                                                  .accuracy_step = options.accuracy_step,
                                                  .contexts = contexts_of(reference, options)});
  if (!space)
    return fail(space);

  const auto share = static_cast<std::uint64_t>(
      std::ceil(options.budget_share * static_cast<double>(space->size())));
  const auto found =
      search(*space, {.algorithm = options.algorithm,
                      .budget = options.evaluations != 0
                                    ? options.evaluations
                                    : std::max<std::uint64_t>(share, options.population),
                      .population = options.population,
                      .seed = options.seed,
                      .seeded = options.seeded,
                      .threads = options.threads,
                      .progress = options.progress,
                      .stop = options.stop});
  if (!found)
    return fail(found);
  if (found->archive.empty())
    return fail(Errc::cancelled, "stopped before anything was evaluated", profile.model_name);

  table::ParetoTable out;
  out.model = profile.model;
  out.model_name = profile.model_name;
  for (const core::HostIndex host : {core::edge_host, core::cloud_host})
    out.made_on[host] = profile.hosts[host].made_on;
  out.edge_knobs = profile.hosts[core::edge_host].knobs;
  out.cloud_knobs = profile.hosts[core::cloud_host].knobs;
  out.boundary = options.boundary;
  out.reference = reference;
  out.margin = options.margin;
  const KeepOptions wanted{
      .margin = options.margin,
      .max_rows = options.max_rows,
      .all_edge = [&](const Point& point) { return space->all_edge(point); },
      .all_cloud = [&](const Point& point) { return space->all_cloud(point); }};
  for (const Kept& kept : keep(*space, found->archive, wanted)) {
    const Point& point = found->archive[kept.entry].point;
    auto ingredients = space->price(point);
    if (!ingredients)
      return fail(ingredients);
    const table::Prediction made = table::compose(*ingredients, reference, core::Seconds());
    out.rows.push_back({.configuration = space->configuration(point),
                        .ingredients = std::move(*ingredients),
                        .label = space->label(point),
                        .latency = made.latency.total(),
                        .energy = made.energy.total(options.boundary),
                        .on_front = kept.on_front});
  }
  std::stable_sort(out.rows.begin(), out.rows.end(),
                   [](const table::TableRow& a, const table::TableRow& b) {
                     return std::pair(a.energy, a.latency) < std::pair(b.energy, b.latency);
                   });

  std::vector<Objectives> seen;
  for (const Evaluated& entry : found->archive)
    seen.emplace_back(entry.objectives.begin(),
                      entry.objectives.begin() + static_cast<std::ptrdiff_t>(space->objectives()));
  const Box box = bounding_box(seen);
  out.search = {.algorithm = std::string(to_string(options.algorithm)),
                .seed = options.seed,
                .space = space->size(),
                .evaluations = found->archive.size(),
                .hypervolume = hypervolume(seen, box.ideal, box.reference)};
  return out;
}

}  // namespace cleave::inline v0::optimizer
