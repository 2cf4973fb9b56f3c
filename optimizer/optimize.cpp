#include "optimizer/archive.hpp"
#include "optimizer/check_options.hpp"
#include "optimizer/link_range.hpp"
#include "optimizer/profile_space.hpp"
#include "optimizer/sweep.hpp"

#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/optimize.hpp>

#include <algorithm>
#include <cmath>
#include <optional>
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
  if (options.range) {
    const LinkRange& range = *options.range;
    for (const double value :
         {range.least.count(), range.most.count(), range.shortest.count(), range.longest.count()})
      if (!(value >= 0) || !std::isfinite(value))
        return bad("bandwidths and round trips must be numbers, and not below 0", "link range");
    if (range.least.count() == 0 || range.most < range.least || range.longest < range.shortest)
      return bad("a range goes from a bandwidth above 0, or a round trip, to the same or more",
                 "link range");
  }
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

// The front as the progress and the summary know it.
std::vector<Objectives> objectives_of(const Stairs& front, std::size_t count) {
  std::vector<Objectives> out;
  for (const Member& member : front.members()) {
    Objectives one{member.cost.latency, member.cost.energy, member.lost};
    one.resize(count);
    out.push_back(std::move(one));
  }
  return out;
}

// What the algorithm looked at.
Result<std::vector<Choice>> search_some(const ProfileSpace& space, const OptimizeOptions& options) {
  const auto share = static_cast<std::uint64_t>(
      std::ceil(options.budget_share * static_cast<double>(space.size())));
  const auto found =
      search(space, {.algorithm = options.algorithm,
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
  std::vector<Choice> some;
  some.reserve(found->archive.size());
  for (const Evaluated& entry : found->archive) some.push_back(space.choice(entry.point));
  return some;
}

// What was looked at; where that was everything, with the fronts.
struct Searched {
  Looked looked;
  std::optional<SweptFronts> swept = {};
};

// Every configuration, without remembering any; fewer if it is stopped.
Result<Searched> search_all(const ProfileSpace& space, const OptimizeOptions& options) {
  constexpr std::uint64_t most_swept = 500'000'000;
  if (space.size() > most_swept)
    return fail(Errc::exhausted, "the space is too large to look at all of it", "search space",
                "use nsga2");
  Looked looked(space);
  Coverage coverage;
  const auto report = [&](const SweptFronts& swept) {
    if (options.progress)
      options.progress({swept.count, space.size(),
                        coverage.update(objectives_of(swept.fronts.front(), space.objectives()),
                                        {swept.extent.best, swept.extent.worst})});
  };
  SweptFronts swept = sweep(looked, options.threads, report, options.stop);
  looked.shorten(swept.count);
  return Searched{looked, std::move(swept)};
}

Result<Searched> search_profile(const ProfileSpace& space, const OptimizeOptions& options) {
  if (options.algorithm == Algorithm::exhaustive)
    return search_all(space, options);
  auto some = search_some(space, options);
  if (!some)
    return fail(some);
  return Searched{Looked(space, std::move(*some))};
}

Result<void> check_threads(unsigned threads) {
  if (threads == 0 || threads > 1024)
    return fail(Errc::invalid_argument, "the number of threads must be 1 to 1024", "threads");
  return {};
}

}  // namespace

Result<std::uint64_t> count_configurations(const table::Profile& profile, double accuracy_floor,
                                           const Constraints& constraints) {
  ProfileSpaceOptions options;
  options.accuracy_floor = accuracy_floor;
  options.constraints = constraints;
  options.contexts = {{table::link_of(profile), core::Seconds()}};
  const auto space = ProfileSpace::make(profile, options);
  if (!space)
    return fail(space);
  return space->size();
}

Result<table::ParetoTable> optimize(const table::Profile& profile, const OptimizeOptions& options) {
  if (const auto ok = check(options); !ok)
    return fail(ok);
  if (const auto ok = check_threads(options.threads); !ok)
    return fail(ok);
  const LinkState reference = options.reference.value_or(table::link_of(profile));
  std::vector<Context> contexts = contexts_of(reference, options);
  const std::size_t named = contexts.size();
  if (options.range)
    for (const LinkState& link : outline(*options.range, reference))
      contexts.push_back({link, core::Seconds()});
  auto space = ProfileSpace::make(profile, {.boundary = options.boundary,
                                            .accuracy_floor = options.accuracy_floor,
                                            .accuracy_objective = options.accuracy_objective,
                                            .accuracy_step = options.accuracy_step,
                                            .constraints = options.constraints,
                                            .contexts = contexts});
  if (!space)
    return fail(space);

  auto searched = search_profile(*space, options);
  if (!searched)
    return fail(searched);
  const Looked& looked = searched->looked;
  if (looked.size() == 0)
    return fail(Errc::cancelled, "stopped before anything was evaluated", profile.model_name);
  if (options.range) {
    contexts.resize(named);
    for (const LinkState& link :
         covering_links(*space, looked, *options.range, options.margin, options.threads))
      contexts.push_back({link, core::Seconds()});
    space->set_contexts(contexts);
    searched->swept.reset();
  }

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
  const SweptFronts swept =
      searched->swept ? std::move(*searched->swept) : sweep(looked, options.threads);
  for (const Row& row : rows_of(looked, swept, options.margin, options.max_rows, options.threads)) {
    const Choice choice = looked[row.number];
    table::Ingredients ingredients = space->price(choice);
    const table::Prediction made = table::compose(ingredients, reference, core::Seconds());
    out.rows.push_back({.configuration = space->configuration(choice),
                        .ingredients = std::move(ingredients),
                        .label = space->label(choice),
                        .latency = made.latency.total(),
                        .energy = made.energy.total(options.boundary),
                        .on_front = row.on_front});
  }
  std::stable_sort(out.rows.begin(), out.rows.end(),
                   [](const table::TableRow& a, const table::TableRow& b) {
                     return std::pair(a.energy, a.latency) < std::pair(b.energy, b.latency);
                   });
  out.search = {.algorithm = std::string(to_string(options.algorithm)),
                .seed = options.seed,
                .space = space->size(),
                .evaluations = looked.size(),
                .hypervolume = hypervolume(objectives_of(swept.fronts.front(), space->objectives()),
                                           swept.extent.best, swept.extent.worst)};
  return out;
}

}  // namespace cleave::inline v0::optimizer
