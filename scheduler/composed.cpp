#include "scheduler/composed.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

namespace cleave::inline v0::scheduler {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

core::Seconds changed(std::span<const core::LevelIndex> now, const core::LevelIndex* wanted,
                      const std::vector<core::Seconds>& costs) {
  core::Seconds sum;
  if (now.size() != costs.size())
    return sum;
  for (std::size_t k = 0; k < costs.size(); ++k)
    if (now[k] != wanted[k])
      sum += costs[k];
  return sum;
}

Composed composed_of(const ComposedBatch& made, std::size_t i, const table::Ingredients& in,
                     std::uint32_t row, double margin) {
  Composed out;
  out.latency = made.latency[i];
  out.margin = margin;
  out.energy = made.energy[i];
  out.edge_energy = made.edge_energy[i];
  out.busy = made.busy[i];
  out.idle = made.idle[i];
  out.accuracy = static_cast<float>(in.accuracy.value);
  out.row = row;
  out.cloud = in.uses_cloud;
  out.head = made.edge_compute[i] > 0;
  out.hold = static_cast<float>(made.hold[i]);
  // A link without bandwidth makes infinities and their differences.
  if (!std::isfinite(out.bound()) || !std::isfinite(out.energy))
    out.latency = out.energy = out.edge_energy = infinity;
  return out;
}

}  // namespace

bool usable(const Composed& row, const Request& request, const LiveState& state) {
  return (state.cloud_reachable || !row.cloud) &&
         row.accuracy >= static_cast<float>(request.accuracy_floor) &&
         row.hold <= state.edge_limit.count();
}

double allowance(const EnergyState& state, double least, double most) {
  // At so full a bucket, or a fuller one, nobody needs to save.
  constexpr double ample = 0.5;
  const double available = state.available.count();
  if (state.fill >= ample || !(least > 0))
    return available;
  return std::min(available, least * std::pow(most / least, std::max(0.0, state.fill) / ample));
}

SwitchingCosts::SwitchingCosts(const table::ParetoTable& table) {
  const auto costs = [](const std::vector<core::Knob>& knobs) {
    std::vector<core::Seconds> out(knobs.size());
    std::transform(knobs.begin(), knobs.end(), out.begin(),
                   [](const core::Knob& knob) { return knob.switch_cost; });
    return out;
  };
  edge_costs_ = costs(table.edge_knobs);
  cloud_costs_ = costs(table.cloud_knobs);
  for (const table::TableRow& row : table.rows) {
    const auto& stages = row.configuration.stages;
    edge_levels_.insert(edge_levels_.end(), stages[0].levels.begin(), stages[0].levels.end());
    // An all-edge row may name no cloud levels; the place is kept so that rows stay aligned.
    auto cloud = stages[1].levels;
    cloud.resize(cloud_costs_.size());
    cloud_levels_.insert(cloud_levels_.end(), cloud.begin(), cloud.end());
    uses_cloud_.push_back(row.ingredients.uses_cloud);
  }
}

Switching SwitchingCosts::of(std::uint32_t row, const LiveState& state) const {
  Switching out;
  out.edge =
      changed(state.edge_levels, edge_levels_.data() + row * edge_costs_.size(), edge_costs_);
  if (uses_cloud_[row])
    out.cloud =
        changed(state.cloud_levels, cloud_levels_.data() + row * cloud_costs_.size(), cloud_costs_);
  return out;
}

core::Seconds edge_hold(const table::Ingredients& in) {
  return in.edge_compute + (in.uses_cloud ? in.encode_first + in.encode_rest : core::Seconds());
}

core::Seconds edge_wait(const table::Ingredients& in, const LiveState& state) {
  return in.edge_compute > core::Seconds() ? state.edge_wait : core::Seconds();
}

Composed compose_row(const table::ParetoTable& table, std::uint32_t row, const Factors& factors,
                     double margin, const table::LinkState& link) {
  const table::Ingredients in = corrected(table.rows[row].ingredients, factors);
  const table::Prediction made = table::compose(in, corrected(link, factors), core::Seconds());
  Composed out;
  out.latency = made.latency.total().count();
  out.margin = margin;
  out.energy = made.energy.total(table.boundary).count();
  out.edge_energy = made.energy.total(core::Boundary::edge).count();
  out.busy = in.edge_busy.count();
  out.idle = in.edge_idle.count();
  out.accuracy = static_cast<float>(in.accuracy.value);
  out.row = row;
  out.cloud = in.uses_cloud;
  out.head = in.edge_compute > core::Seconds();
  out.hold = static_cast<float>(edge_hold(in).count());
  // A link without bandwidth makes infinities and their differences.
  if (!std::isfinite(out.bound()) || !std::isfinite(out.energy))
    out.latency = out.energy = out.edge_energy = infinity;
  return out;
}

double hedging(const Beside& beside, double head, double latency, double remaining) {
  const double last_moment = remaining - beside.time;
  if (!(last_moment >= head) || latency <= last_moment)
    return 0;
  return beside.watts * std::min(latency - last_moment, beside.time);
}

Cost cost_of(const Composed& row, const Switching& switching, const LiveState& state,
             const Beside& beside, double remaining) {
  const double queue = row.cloud ? state.queue.count() : 0;
  const double turn = row.head ? state.edge_wait.count() : 0;
  const double wait = queue + turn;
  const double change = switching.total().count();
  const double more =
      row.busy * switching.edge.count() + row.idle * (queue + switching.cloud.count());
  Cost cost;
  cost.latency = row.latency + wait + change;
  cost.bound = (row.latency + wait) * (1 + row.margin) + change;
  cost.hedging = hedging(beside, turn + change + row.hold, cost.latency, remaining);
  cost.energy = row.energy + more + cost.hedging;
  cost.edge_energy = row.edge_energy + more;
  cost.switching = switching.total();
  return cost;
}

bool better(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b) {
  return std::tie(a.energy, a.bound, row_a) < std::tie(b.energy, b.bound, row_b);
}

bool faster(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b) {
  // Where none is sure to be in time, what is expected counts: a row that is slower but steadier
  // would miss the deadline more surely.
  return std::tie(a.latency, a.energy, row_a) < std::tie(b.latency, b.energy, row_b);
}

bool lighter(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b) {
  return std::tie(a.edge_energy, a.latency, row_a) < std::tie(b.edge_energy, b.latency, row_b);
}

ComposedTable::ComposedTable(std::size_t rows)
    : rows_(rows), factors_(rows), margins_(rows), beside_(rows) {
  keys_.reserve(rows);
  spare_.resize(rows);
  by_energy_.reserve(rows);
  blocks_.reserve(rows / block_size + 1);
  edge_by_latency_.reserve(rows);
  cloud_by_latency_.reserve(rows);
  cheap_.reserve();
  fast_.reserve();
}

void ComposedTable::compose(const table::ParetoTable& table, const std::vector<RowBatch>& batches,
                            std::span<const table::LocalTail> tails, const Corrections& corrections,
                            const table::LinkState& link) {
  link_ = link;
  keys_.clear();
  by_energy_.clear();
  edge_by_latency_.clear();
  cloud_by_latency_.clear();
  blocks_.clear();
  cheap_.clear();
  fast_.clear();
  least_edge_energy_ = infinity;
  most_edge_energy_ = 0;
  const auto rows = static_cast<std::uint32_t>(table.rows.size());
  FactorBatch factors, hopes;
  ComposedBatch made;
  for (std::uint32_t begin = 0; begin < rows; begin += RowBatch::size) {
    const RowBatch& batch = batches[begin / RowBatch::size];
    const std::uint32_t count = std::min<std::uint32_t>(RowBatch::size, rows - begin);
    bool hope = false;
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t row = begin + i;
      factors_[row] = corrections.factors(row);
      factors.set(i, factors_[row]);
      if (corrections.look(row).any()) {
        hope = true;
        hopes.set(i, corrections.hopeful(row));
      }
    }
    compose_batch(batch, factors, link, made);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t row = begin + i;
      margins_[row] = corrections.margin(row);
      const Composed& out = rows_[row] =
          composed_of(made, i, table.rows[row].ingredients, row, margins_[row]);
      if (out.latency == infinity)
        continue;
      least_edge_energy_ = std::min(least_edge_energy_, out.edge_energy);
      most_edge_energy_ = std::max(most_edge_energy_, out.edge_energy);
      keys_.push_back({out.energy, row});
      (out.cloud ? cloud_by_latency_ : edge_by_latency_).push_back({out.latency, row});
    }
    if (!hope)
      continue;
    compose_batch(batch, hopes, link, made);
    for (std::uint32_t i = 0; i < count; ++i) {
      const std::uint32_t row = begin + i;
      const Look look = corrections.look(row);
      if (rows_[row].latency == infinity || !look.any())
        continue;
      const Composed hoped = composed_of(made, i, table.rows[row].ingredients, row, margins_[row]);
      if (look.if_late)
        fast_.add(hoped);
      if (look.if_time)
        cheap_.add(hoped);
    }
  }
  hedged_ = !tails.empty();
  for (std::uint32_t row = 0; row < tails.size(); ++row)
    if (const table::LocalTail& tail = tails[row]; rows_[row].cloud && tail.like) {
      const Factors& learnt = factors_[*tail.like];
      beside_[row] = {(learnt.edge * tail.compute + tail.switching).count(),
                      std::max(0.0, learnt.power * tail.busy.count() - rows_[row].idle)};
    }
  sort_keys(keys_, spare_);
  sort_keys(edge_by_latency_, spare_);
  sort_keys(cloud_by_latency_, spare_);
  for (const Key& key : keys_) by_energy_.push_back(rows_[key.row]);
  for (std::size_t i = 0; i < by_energy_.size(); ++i) {
    if (i % block_size == 0)
      blocks_.push_back({infinity, infinity, infinity, -1});
    Block& block = blocks_.back();
    double& least = by_energy_[i].cloud ? block.least_cloud_bound : block.least_edge_bound;
    least = std::min(least, by_energy_[i].bound());
    block.least_edge_energy = std::min(block.least_edge_energy, by_energy_[i].edge_energy);
    block.best_accuracy = std::max(block.best_accuracy, by_energy_[i].accuracy);
  }
}

ComposedTable::Pick ComposedTable::cheapest(double joules, const Request& request,
                                            core::Seconds remaining, const LiveState& state,
                                            const SwitchingCosts& switching) const {
  Pick best;
  const double time = remaining.count();
  // Switching only adds, and a row's bound grows by at least the queue. All-edge rows have a head,
  // of rows that use the cloud not all.
  const double edge_time = time - state.edge_wait.count();
  const double cloud_time = time - state.queue.count();
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const std::size_t begin = b * block_size;
    if (best.row != no_row && by_energy_[begin].energy > best.cost.energy)
      break;
    const Block& block = blocks_[b];
    const bool on_edge = block.least_edge_bound <= edge_time;
    const bool in_cloud = state.cloud_reachable && block.least_cloud_bound <= cloud_time;
    if ((!on_edge && !in_cloud) || block.least_edge_energy > joules ||
        block.best_accuracy < static_cast<float>(request.accuracy_floor))
      continue;
    const std::size_t end = std::min(begin + block_size, by_energy_.size());
    for (std::size_t i = begin; i < end; ++i) {
      const Composed& row = by_energy_[i];
      if (best.row != no_row && row.energy > best.cost.energy)
        break;
      if (row.bound() > (row.cloud ? cloud_time : edge_time) || !usable(row, request, state))
        continue;
      const Cost cost = cost_for(row, switching.of(row.row, state), request, state);
      if (cost.bound <= time && cost.edge_energy <= joules &&
          (best.row == no_row || better(cost, row.row, best.cost, best.row)))
        best = {row.row, cost};
    }
  }
  return best;
}

Cost ComposedTable::cost_for(const Composed& row, const Switching& switching,
                             const Request& request, const LiveState& state) const {
  return cost_of(row, switching, state, beside(row.row),
                 (request.deadline - request.elapsed).count());
}

void ComposedTable::Hopeful::reserve() {
  for (auto& rows : rows_) rows.reserve(most + 1);
}

void ComposedTable::Hopeful::clear() {
  for (auto& rows : rows_) rows.clear();
}

void ComposedTable::Hopeful::add(const Composed& row) {
  auto& rows = rows_[row.cloud ? 1 : 0];
  if (rows.size() == most && !less_(row, rows.back()))
    return;
  rows.insert(std::upper_bound(rows.begin(), rows.end(), row, less_), row);
  if (rows.size() > most)
    rows.pop_back();
}

template <class Of, class Fits>
ComposedTable::Pick ComposedTable::most_hopeful(const Hopeful& hopefuls, double least, Of of,
                                                Fits fits, const Pick& pick, double joules,
                                                const Request& request, const LiveState& state,
                                                const SwitchingCosts& switching) const {
  Pick best;
  for (const auto& rows : hopefuls.rows())
    for (const Composed& hopeful : rows) {
      const Composed& row = rows_[hopeful.row];
      if (row.row == pick.row || !usable(row, request, state))
        continue;
      const Switching change = switching.of(row.row, state);
      const double hoped = of(cost_for(hopeful, change, request, state));
      const Cost cost = cost_for(row, change, request, state);
      if (hoped < least && fits(cost) && cost.edge_energy <= joules) {
        best = {row.row, cost};
        least = hoped;
      }
    }
  return best;
}

ComposedTable::Pick ComposedTable::worth_trying(const Pick& pick, double joules,
                                                const Request& request, core::Seconds remaining,
                                                const LiveState& state,
                                                const SwitchingCosts& switching) const {
  return most_hopeful(
      cheap_, pick.cost.energy, [](const Cost& cost) { return cost.energy; },
      [&](const Cost& cost) { return cost.bound <= remaining.count(); }, pick, joules, request,
      state, switching);
}

ComposedTable::Pick ComposedTable::worth_a_late_look(const Pick& pick, double joules,
                                                     const Request& request,
                                                     core::Seconds remaining,
                                                     const LiveState& state,
                                                     const SwitchingCosts& switching) const {
  return most_hopeful(
      fast_, std::min(pick.cost.latency, remaining.count()),
      [](const Cost& cost) { return cost.latency; }, [](const Cost&) { return true; }, pick, joules,
      request, state, switching);
}

ComposedTable::Pick ComposedTable::fastest(const Request& request, const LiveState& state,
                                           const SwitchingCosts& switching) const {
  Pick best;
  const auto scan = [&](const std::vector<Key>& by_latency, double queue) {
    for (const Key& key : by_latency) {
      if (best.row != no_row && key.value + queue > best.cost.latency)
        break;
      const Composed& row = rows_[key.row];
      if (!usable(row, request, state))
        continue;
      const Cost cost = cost_for(row, switching.of(row.row, state), request, state);
      if (best.row == no_row || faster(cost, row.row, best.cost, best.row))
        best = {row.row, cost};
    }
  };
  scan(edge_by_latency_, state.edge_wait.count());
  if (state.cloud_reachable)
    scan(cloud_by_latency_, state.queue.count());
  return best;
}

ComposedTable::Pick ComposedTable::fastest_within(double joules, const Request& request,
                                                  const LiveState& state,
                                                  const SwitchingCosts& switching) const {
  Pick best;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    if (block.least_edge_energy > joules ||
        block.best_accuracy < static_cast<float>(request.accuracy_floor))
      continue;
    const std::size_t end = std::min((b + 1) * block_size, by_energy_.size());
    for (std::size_t i = b * block_size; i < end; ++i) {
      const Composed& row = by_energy_[i];
      if (row.edge_energy > joules || (best.row != no_row && row.latency > best.cost.latency) ||
          !usable(row, request, state))
        continue;
      const Cost cost = cost_for(row, switching.of(row.row, state), request, state);
      if (cost.edge_energy <= joules &&
          (best.row == no_row || faster(cost, row.row, best.cost, best.row)))
        best = {row.row, cost};
    }
  }
  return best;
}

ComposedTable::Pick ComposedTable::least_of_edge(const Request& request, const LiveState& state,
                                                 const SwitchingCosts& switching) const {
  Pick best;
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const Block& block = blocks_[b];
    if (best.row != no_row && block.least_edge_energy > best.cost.edge_energy)
      continue;
    const std::size_t end = std::min((b + 1) * block_size, by_energy_.size());
    for (std::size_t i = b * block_size; i < end; ++i) {
      const Composed& row = by_energy_[i];
      if ((best.row != no_row && row.edge_energy > best.cost.edge_energy) ||
          !usable(row, request, state))
        continue;
      const Cost cost = cost_for(row, switching.of(row.row, state), request, state);
      if (best.row == no_row || lighter(cost, row.row, best.cost, best.row))
        best = {row.row, cost};
    }
  }
  return best;
}

}  // namespace cleave::inline v0::scheduler
