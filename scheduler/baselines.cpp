#include "scheduler/baselines.hpp"

#include <algorithm>

namespace cleave::inline v0::scheduler {

FixedPolicy::FixedPolicy(std::string name, std::shared_ptr<const table::ParetoTable> table,
                         std::uint32_t row)
    : name_(std::move(name)), table_(std::move(table)), switching_(*table_), row_(row) {}

Decision FixedPolicy::decide(const Request& request, const LiveState& state) {
  const Composed composed = compose_row(*table_, row_, Factors{}, /*margin=*/0, state.link);
  const Cost cost = cost_of(composed, switching_.of(row_, state), state, /*beside=*/{}, 0);
  Decision decision;
  decision.row = row_;
  decision.prediction = table::compose(table_->rows[row_].ingredients, state.link, state.queue);
  decision.switching = cost.switching;
  decision.edge_wait = edge_wait(table_->rows[row_].ingredients, state);
  decision.edge_hold = edge_hold(table_->rows[row_].ingredients);
  decision.latency = core::Seconds(cost.latency);
  decision.bound = core::Seconds(cost.bound);
  decision.energy = core::Joules(cost.energy);
  decision.edge_energy = core::Joules(cost.edge_energy);
  decision.meets_deadline = decision.bound <= request.deadline - request.elapsed;
  decision.reason = Reason::fixed;
  return decision;
}

DynaSplitPolicy::DynaSplitPolicy(std::shared_ptr<const table::ParetoTable> table,
                                 std::vector<std::uint32_t> front_by_energy)
    : table_(std::move(table)), front_(std::move(front_by_energy)) {
  fastest_ = *std::min_element(front_.begin(), front_.end(), [&](auto a, auto b) {
    return table_->rows[a].latency < table_->rows[b].latency;
  });
}

Decision DynaSplitPolicy::decide(const Request& request, const LiveState&) {
  const core::Seconds remaining = request.deadline - request.elapsed;
  const auto met = std::find_if(front_.begin(), front_.end(), [&](std::uint32_t row) {
    return table_->rows[row].latency <= remaining;
  });
  Decision decision;
  decision.meets_deadline = met != front_.end();
  decision.row = decision.meets_deadline ? *met : fastest_;
  const table::TableRow& row = table_->rows[decision.row];
  decision.prediction = table::compose(row.ingredients, table_->reference, core::Seconds());
  decision.latency = decision.bound = row.latency;
  decision.energy = row.energy;
  decision.edge_energy = decision.prediction.energy.total(core::Boundary::edge);
  decision.edge_hold = edge_hold(row.ingredients);
  decision.reason = decision.meets_deadline ? Reason::least_energy : Reason::fastest;
  return decision;
}

}  // namespace cleave::inline v0::scheduler
