#include "scheduler/cleave_policy.hpp"

#include "scheduler/explain.hpp"

#include <cmath>

namespace cleave::inline v0::scheduler {

CleavePolicy::CleavePolicy(std::shared_ptr<const table::ParetoTable> table,
                           const PolicyOptions& options)
    : table_(std::move(table)),
      options_(options),
      switching_(*table_),
      composed_([this] { return ComposedTable(table_->rows.size()); }),
      corrections_(*table_, options.learning, options.confidence) {
  recompose(table_->reference);
}

bool CleavePolicy::close(const table::LinkState& a, const table::LinkState& b) const {
  const auto near = [&](double x, double y) {
    return std::abs(x - y) <= options_.link_tolerance * std::min(std::abs(x), std::abs(y));
  };
  return near(a.round_trip.count(), b.round_trip.count()) && near(a.up.count(), b.up.count()) &&
         near(a.down.count(), b.down.count());
}

ComposedTable::Pick CleavePolicy::scan(const ComposedTable& composed, const Request& request,
                                       core::Seconds remaining, const LiveState& state,
                                       bool& meets) const {
  ComposedTable::Pick cheapest, fastest;
  for (std::uint32_t row = 0; row < table_->rows.size(); ++row) {
    const table::Ingredients& in = table_->rows[row].ingredients;
    if ((in.uses_cloud && !state.cloud_reachable) ||
        static_cast<float>(in.accuracy.value) < static_cast<float>(request.accuracy_floor))
      continue;
    const Composed made =
        compose_row(*table_, row, composed.factors(row), composed.margin(row), state.link);
    if (!std::isfinite(made.bound))
      continue;
    const Cost cost = cost_of(made, switching_.of(row, state), state.queue);
    if (fastest.row == no_row || faster(cost, row, fastest.cost, fastest.row))
      fastest = {row, cost};
    if (cost.bound <= remaining.count() &&
        (cheapest.row == no_row || better(cost, row, cheapest.cost, cheapest.row)))
      cheapest = {row, cost};
  }
  meets = cheapest.row != no_row;
  return meets ? cheapest : fastest;
}

Decision CleavePolicy::decide(const Request& request, const LiveState& state) {
  const auto composed = composed_.read();
  const core::Seconds remaining = request.deadline - request.elapsed;
  Decision decision;
  ComposedTable::Pick pick;
  bool exploring = false;
  if (close(state.link, composed->link()) || !state.cloud_reachable) {
    pick = composed->cheapest(request, remaining, state, switching_);
    decision.meets_deadline = pick.row != no_row;
    if (!decision.meets_deadline) {
      pick = composed->fastest(request, state, switching_);
    } else if (const auto other =
                   composed->worth_trying(pick, request, remaining, state, switching_);
               other.row != no_row) {
      pick = other;
      exploring = true;
    }
  } else {
    pick = scan(*composed, request, remaining, state, decision.meets_deadline);
    scanned_.store(true, std::memory_order_relaxed);
  }
  if (pick.row == no_row || (!decision.meets_deadline && options_.on_miss == OnMiss::refuse))
    return decision;
  const Factors& factors = composed->factors(pick.row);
  decision.row = pick.row;
  decision.prediction = table::compose(corrected(table_->rows[pick.row].ingredients, factors),
                                       corrected(state.link, factors), state.queue);
  decision.switching = pick.cost.switching;
  decision.latency = core::Seconds(pick.cost.latency);
  decision.bound = core::Seconds(pick.cost.bound);
  decision.energy = core::Joules(pick.cost.energy);
  decision.reason = !decision.meets_deadline ? Reason::fastest
                    : exploring              ? Reason::exploring
                                             : Reason::least_energy;
  return decision;
}

std::string CleavePolicy::explain(const Request& request, const LiveState& state,
                                  const Decision& decision) {
  const auto composed = composed_.read();
  PassedOver passed(*table_, request, state, decision);
  for (std::uint32_t row = 0; row < table_->rows.size(); ++row) {
    const Composed made =
        compose_row(*table_, row, composed->factors(row), composed->margin(row), state.link);
    if (std::isfinite(made.bound))
      passed.add(made, cost_of(made, switching_.of(row, state), state.queue));
  }
  std::string text = scheduler::explain(*table_, decision);
  if (decision.row < table_->rows.size())
    text += learnt_text(composed->factors(decision.row));
  return text + passed.text();
}

void CleavePolicy::observe(const Outcome& outcome) {
  if (outcome.row >= table_->rows.size())
    return;
  const std::lock_guard lock(writing_);
  if (options_.learning.enabled && !outcome.completed) {
    corrections_.miss(outcome.row);
    stale_ = true;
  } else if (options_.learning.enabled) {
    const table::Ingredients& in = table_->rows[outcome.row].ingredients;
    corrections_.observe(outcome.row, table::compose(in, outcome.link, core::Seconds()).latency,
                         outcome.measured);
    stale_ = true;
  }
  // An outcome may tell of a link that is no more: it counts only if decide() meets it often enough
  // to have met it since the last time.
  const bool moved = scanned_.exchange(false) && !close(outcome.link, wanted_);
  if (stale_ || moved)
    recompose(moved ? outcome.link : wanted_);
}

void CleavePolicy::refresh(const table::LinkState& link) {
  const std::lock_guard lock(writing_);
  if (stale_ || !close(link, wanted_))
    recompose(link);
}

std::vector<std::byte> CleavePolicy::learnt() const {
  if (!options_.learning.enabled)
    return {};
  const std::lock_guard lock(writing_);
  return corrections_.save();
}

core::Result<void> CleavePolicy::restore(std::span<const std::byte> learnt) {
  if (!options_.learning.enabled)
    return Policy::restore(learnt);
  const std::lock_guard lock(writing_);
  if (auto loaded = corrections_.load(learnt); !loaded)
    return loaded;
  recompose(wanted_);
  return {};
}

void CleavePolicy::recompose(const table::LinkState& link) {
  wanted_ = link;
  ComposedTable* next = composed_.writable();
  // Every other slot is still being read: the next call tries again, readers go on with what is.
  stale_ = next == nullptr;
  if (next == nullptr)
    return;
  next->compose(*table_, corrections_, link);
  composed_.publish(next);
}

}  // namespace cleave::inline v0::scheduler
