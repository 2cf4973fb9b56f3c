#include "scheduler/cleave_policy.hpp"

#include "scheduler/explain.hpp"

#include <cmath>
#include <limits>

namespace cleave::inline v0::scheduler {
namespace {

// Less is the estimate's noise.
bool jumped(const table::LinkState& a, const table::LinkState& b) {
  constexpr double far = 1.5;
  const auto apart = [](double x, double y) { return x > far * y || y > far * x; };
  return apart(a.up.count(), b.up.count()) || apart(a.down.count(), b.down.count());
}

}  // namespace

CleavePolicy::CleavePolicy(std::shared_ptr<const table::ParetoTable> table,
                           const PolicyOptions& options)
    : table_(std::move(table)),
      options_(options),
      switching_(*table_),
      batches_(batches_of(*table_)),
      tails_(options.hedged ? table::local_tails(*table_) : std::vector<table::LocalTail>()),
      composed_([this] { return ComposedTable(table_->rows.size()); }),
      corrections_(*table_, options.learning, options.confidence) {
  observed_link_ = table_->reference;
  recompose(table_->reference);
}

bool CleavePolicy::close(const table::LinkState& a, const table::LinkState& b) const {
  const auto near = [&](double x, double y) {
    return std::abs(x - y) <= options_.link_tolerance * std::min(std::abs(x), std::abs(y));
  };
  return near(a.round_trip.count(), b.round_trip.count()) && near(a.up.count(), b.up.count()) &&
         near(a.down.count(), b.down.count());
}

CleavePolicy::Choice CleavePolicy::choose(const ComposedTable& composed, double joules,
                                          const Request& request, const LiveState& state,
                                          bool late_look) const {
  const core::Seconds remaining = request.deadline - request.elapsed;
  const auto in_time = composed.cheapest(joules, request, remaining, state, switching_);
  if (in_time.row != no_row) {
    const auto other =
        composed.worth_trying(in_time, joules, request, remaining, state, switching_);
    return other.row == no_row ? Choice{in_time, Reason::least_energy}
                               : Choice{other, Reason::exploring};
  }
  const auto fastest = composed.fastest(request, state, switching_);
  if (fastest.row == no_row || options_.on_miss == OnMiss::refuse)
    return {{}, Reason::refused, fastest.row != no_row};
  if (fastest.cost.edge_energy <= joules) {
    // Who may still be lucky does not give that away for a look.
    const auto other =
        !late_look || fastest.cost.latency <= remaining.count()
            ? ComposedTable::Pick()
            : composed.worth_a_late_look(fastest, joules, request, remaining, state, switching_);
    return other.row == no_row ? Choice{fastest, Reason::fastest}
                               : Choice{other, Reason::exploring};
  }
  const auto within = composed.fastest_within(joules, request, state, switching_);
  if (within.row != no_row && within.cost.latency <= remaining.count())
    return {within, Reason::saving};
  return {composed.least_of_edge(request, state, switching_), Reason::saving};
}

CleavePolicy::Choice CleavePolicy::scan(const ComposedTable& composed, double joules,
                                        const Request& request, const LiveState& state) const {
  const double remaining = (request.deadline - request.elapsed).count();
  ComposedTable::Pick cheapest, fastest, within, lightest;
  for (std::uint32_t row = 0; row < table_->rows.size(); ++row) {
    const table::Ingredients& in = table_->rows[row].ingredients;
    if ((in.uses_cloud && !state.cloud_reachable) ||
        static_cast<float>(in.accuracy.value) < static_cast<float>(request.accuracy_floor))
      continue;
    const Composed made =
        compose_row(*table_, row, composed.factors(row), composed.margin(row), state.link);
    if (!std::isfinite(made.latency) || !usable(made, request, state))
      continue;
    const Cost cost =
        cost_of(made, switching_.of(row, state), state, composed.beside(row), remaining);
    const auto take = [&](ComposedTable::Pick& best, auto prefer) {
      if (best.row == no_row || prefer(cost, row, best.cost, best.row))
        best = {row, cost};
    };
    take(fastest, faster);
    take(lightest, lighter);
    if (cost.edge_energy <= joules) {
      take(within, faster);
      if (cost.bound <= remaining)
        take(cheapest, better);
    }
  }
  if (cheapest.row != no_row)
    return {cheapest, Reason::least_energy};
  if (fastest.row == no_row || options_.on_miss == OnMiss::refuse)
    return {{}, Reason::refused, fastest.row != no_row};
  if (fastest.cost.edge_energy <= joules)
    return {fastest, Reason::fastest};
  if (within.row != no_row && within.cost.latency <= remaining)
    return {within, Reason::saving};
  return {lightest, Reason::saving};
}

Decision CleavePolicy::decide(const Request& request, const LiveState& state) {
  const auto composed = composed_.read();
  const double joules =
      allowance(state.energy, composed->least_edge_energy(), composed->most_edge_energy());
  const bool composed_for = close(state.link, composed->link()) || !state.cloud_reachable;
  if (!composed_for)
    scanned_.store(true, std::memory_order_relaxed);
  const auto pick_for = [&](const LiveState& now, bool late_look) {
    return composed_for ? choose(*composed, joules, request, now, late_look)
                        : scan(*composed, joules, request, now);
  };
  Choice choice = pick_for(state, true);
  if (!choice.any && std::isfinite(state.edge_limit.count())) {
    LiveState unlimited = state;
    unlimited.edge_limit = LiveState().edge_limit;
    // More urgent requests may be kept waiting: not for a look.
    choice = pick_for(unlimited, false);
  }
  Decision decision;
  const auto& [row, cost] = choice.pick;
  if (row == no_row || cost.edge_energy > state.energy.available.count())
    return decision;
  const Factors& factors = composed->factors(row);
  const table::Ingredients in = corrected(table_->rows[row].ingredients, factors);
  decision.row = row;
  decision.prediction = table::compose(in, corrected(state.link, factors), state.queue);
  decision.switching = cost.switching;
  decision.edge_wait = edge_wait(in, state);
  decision.edge_hold = edge_hold(in);
  decision.latency = core::Seconds(cost.latency);
  decision.bound = core::Seconds(cost.bound);
  decision.energy = core::Joules(cost.energy);
  decision.edge_energy = core::Joules(cost.edge_energy);
  decision.hedging = core::Joules(cost.hedging);
  decision.meets_deadline = choice.reason == Reason::least_energy ||
                            (choice.reason == Reason::exploring &&
                             cost.bound <= (request.deadline - request.elapsed).count());
  decision.reason = choice.reason;
  return decision;
}

core::Seconds CleavePolicy::soonest(const Request& request, const LiveState& state) {
  const auto composed = composed_.read();
  const auto pick = composed->fastest(request, state, switching_);
  return core::Seconds(pick.row == no_row ? std::numeric_limits<double>::infinity()
                                          : pick.cost.bound);
}

core::Seconds CleavePolicy::expected(const table::LocalTail& tail) const {
  const auto composed = composed_.read();
  return (tail.like ? composed->factors(*tail.like).edge : 1.0) * tail.compute + tail.switching;
}

std::string CleavePolicy::explain(const Request& request, const LiveState& state,
                                  const Decision& decision) {
  const auto composed = composed_.read();
  PassedOver passed(
      *table_, request, state,
      allowance(state.energy, composed->least_edge_energy(), composed->most_edge_energy()),
      decision);
  for (std::uint32_t row = 0; row < table_->rows.size(); ++row) {
    const Composed made =
        compose_row(*table_, row, composed->factors(row), composed->margin(row), state.link);
    if (std::isfinite(made.latency))
      passed.add(made, cost_of(made, switching_.of(row, state), state, composed->beside(row),
                               (request.deadline - request.elapsed).count()));
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
  if (jumped(observed_link_, outcome.link))
    corrections_.link_moved();
  observed_link_ = outcome.link;
  if (options_.learning.enabled && !outcome.completed) {
    corrections_.miss(outcome.row);
    stale_ = true;
  } else if (options_.learning.enabled) {
    const table::Ingredients& in = table_->rows[outcome.row].ingredients;
    corrections_.observe(outcome.row, table::compose(in, outcome.link, core::Seconds()).latency,
                         outcome.measured);
    if (const auto& energy = outcome.energy; energy &&
                                             energy->counted.origin == core::Origin::measured &&
                                             energy->counted.boundary == core::Boundary::edge)
      corrections_.observe_energy(outcome.row, energy->modelled, energy->counted.joules);
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
  next->compose(*table_, batches_, tails_, corrections_, link);
  composed_.publish(next);
}

}  // namespace cleave::inline v0::scheduler
