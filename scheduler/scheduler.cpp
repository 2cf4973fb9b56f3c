#include "scheduler/baselines.hpp"
#include "scheduler/cleave_policy.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace cleave::inline v0::scheduler {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using table::DecisionKind;
using table::ParetoTable;
using table::TableRow;

constexpr std::array<std::string_view, 6> names = {"cleave",  "all-cloud", "all-edge",
                                                   "fastest", "frugal",    "dynasplit"};

Result<void> check(const PolicyOptions& options) {
  const auto bad = [](const char* what, const char* range) {
    return fail(Errc::invalid_argument, std::string(what) + " is out of range", "policy options",
                range);
  };
  if (!(options.confidence >= 0.5 && options.confidence <= 0.9999))
    return bad("confidence", "0.5 to 0.9999");
  if (!(options.link_tolerance >= 0 && options.link_tolerance <= 0.5))
    return bad("link_tolerance", "0 to 0.5");
  const LearningOptions& learning = options.learning;
  if (!(learning.row_deviation >= 0 && learning.row_deviation <= 10) ||
      !(learning.shared_deviation >= 0 && learning.shared_deviation <= 10) ||
      !(learning.power_deviation >= 0 && learning.power_deviation <= 10))
    return bad("a deviation to learn within", "0 to 10");
  if (!(learning.noise > 0 && learning.noise <= 10))
    return bad("noise", "above 0, at most 10");
  if (!(learning.half_life >= 1) || !(learning.row_half_life >= 1))
    return bad("a half-life", "1 request or more");
  if (!(learning.largest_factor >= 1 && learning.largest_factor <= 1e6))
    return bad("largest_factor", "1 to 1e6");
  return {};
}

bool levels_fit(const std::vector<core::LevelIndex>& levels, const std::vector<core::Knob>& knobs) {
  if (levels.size() != knobs.size())
    return false;
  for (std::size_t k = 0; k < knobs.size(); ++k)
    if (levels[k] >= knobs[k].levels.size())
      return false;
  return true;
}

Result<void> check(const ParetoTable& table) {
  if (table.rows.empty())
    return fail(Errc::invalid_argument, "the table has no rows", table.model_name,
                "make one with cleave optimize");
  if (table.rows.size() >= no_row)
    return fail(Errc::invalid_argument, "the table has too many rows", table.model_name);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    const TableRow& row = table.rows[i];
    const auto& stages = row.configuration.stages;
    const auto bad = [&](const char* what) {
      return fail(Errc::invalid_argument, "row " + std::to_string(i) + " " + what, row.label,
                  "make the table anew with cleave optimize");
    };
    if (stages.size() != 2)
      return bad("does not have two stages");
    if (!levels_fit(stages[0].levels, table.edge_knobs))
      return bad("does not fit the edge's knobs");
    // A row that leaves the cloud alone may leave its knobs out.
    if (!levels_fit(stages[1].levels, table.cloud_knobs) &&
        (row.ingredients.uses_cloud || !stages[1].levels.empty()))
      return bad("does not fit the cloud's knobs");
    if (!std::isfinite(row.ingredients.spread) || row.ingredients.spread < 0)
      return bad("has no sensible spread");
  }
  return {};
}

// The row that `allowed` lets through with the least `key`; the first of equals.
template <class Allowed, class Key>
std::optional<std::uint32_t> least(const ParetoTable& table, Allowed allowed, Key key) {
  std::optional<std::uint32_t> best;
  for (std::uint32_t i = 0; i < table.rows.size(); ++i)
    if (allowed(table.rows[i]) && (!best || key(table.rows[i]) < key(table.rows[*best])))
      best = i;
  return best;
}

Result<std::uint32_t> fixed_row(std::string_view name, const ParetoTable& table) {
  const auto on_front = [](const TableRow& row) { return row.on_front; };
  const auto of_kind = [](DecisionKind kind) {
    return [kind](const TableRow& row) { return kind_of(row) == kind; };
  };
  const auto latency = [](const TableRow& row) { return row.latency; };
  const auto energy = [](const TableRow& row) { return row.energy; };
  const auto found = name == "all-cloud"  ? least(table, of_kind(DecisionKind::cloud), latency)
                     : name == "all-edge" ? least(table, of_kind(DecisionKind::edge), latency)
                     : name == "fastest"  ? least(table, on_front, latency)
                                          : least(table, on_front, energy);
  if (!found)
    return fail(Errc::not_found, "the table has no row for the policy " + std::string(name),
                table.model_name, "make the table anew with cleave optimize");
  return *found;
}

}  // namespace

Policy::~Policy() = default;

core::Seconds Policy::soonest(const Request& request, const LiveState& state) {
  Request late = request;
  late.deadline = late.elapsed;
  const Decision decision = decide(late, state);
  return decision.row == no_row ? core::Seconds(std::numeric_limits<double>::infinity())
                                : decision.bound;
}

core::Seconds Policy::expected(const table::LocalTail& tail) const {
  return tail.time();
}

std::vector<std::byte> Policy::learnt() const {
  return {};
}

Result<void> Policy::restore(std::span<const std::byte> /*learnt*/) {
  return fail(Errc::unsupported, "this policy learns nothing", std::string(name()));
}

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::least_energy:
      return "least energy in time";
    case Reason::fastest:
      return "none in time, fastest";
    case Reason::refused:
      return "refused";
    case Reason::fixed:
      return "fixed";
    case Reason::exploring:
      return "found worse a while ago, to see whether it has got better";
    case Reason::saving:
      return "what is in time is more than the energy budget leaves";
  }
  return "unknown";
}

std::span<const std::string_view> policy_names() {
  return names;
}

Result<std::unique_ptr<Policy>> make_policy(std::string_view name,
                                            std::shared_ptr<const ParetoTable> table,
                                            const PolicyOptions& options) {
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::string known;
    for (const std::string_view n : names) known += (known.empty() ? "" : ", ") + std::string(n);
    return fail(Errc::not_found, "no such policy", std::string(name), "there are " + known);
  }
  if (!table)
    return fail(Errc::invalid_argument, "no table was given", std::string(name));
  if (const auto ok = check(*table); !ok)
    return fail(ok);
  if (const auto ok = check(options); !ok)
    return fail(ok);
  if (name == "cleave")
    return std::make_unique<CleavePolicy>(std::move(table), options);
  if (name == "dynasplit") {
    std::vector<std::uint32_t> front;
    for (std::uint32_t i = 0; i < table->rows.size(); ++i)
      if (table->rows[i].on_front)
        front.push_back(i);
    if (front.empty())
      return fail(Errc::not_found, "the table has no row on its front", table->model_name,
                  "make the table anew with cleave optimize");
    std::stable_sort(front.begin(), front.end(),
                     [&](auto a, auto b) { return table->rows[a].energy < table->rows[b].energy; });
    return std::make_unique<DynaSplitPolicy>(std::move(table), std::move(front));
  }
  const auto row = fixed_row(name, *table);
  if (!row)
    return fail(row);
  return std::make_unique<FixedPolicy>(std::string(name), std::move(table), *row);
}

DecisionKind kind_of(const TableRow& row) {
  if (!row.ingredients.uses_cloud)
    return DecisionKind::edge;
  // The first cut has no steps before it, so exactly nothing to compute on the edge.
  return row.ingredients.edge_compute == core::Seconds() ? DecisionKind::cloud
                                                         : DecisionKind::split;
}

}  // namespace cleave::inline v0::scheduler
