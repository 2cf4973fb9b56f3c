#include "scheduler/explain.hpp"

#include <cmath>
#include <cstdio>

namespace cleave::inline v0::scheduler {
namespace {

using table::ParetoTable;

template <class... Values>
std::string print(const char* format, Values... values) {
  std::array<char, 96> text{};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

std::string milliseconds_of(core::Seconds time) {
  return print("%.1f ms", time.count() * 1e3);
}

}  // namespace

std::string explain(const ParetoTable& table, const Decision& decision) {
  if (decision.row >= table.rows.size())
    return "refused: no row is allowed, none meets the deadline, or the energy budget has too "
           "little "
           "left";
  const table::LatencyParts& t = decision.prediction.latency;
  return table.rows[decision.row].label + ": " + std::string(to_string(decision.reason)) +
         "; expected " + milliseconds_of(decision.latency) + " (edge " +
         milliseconds_of(t.edge_compute) + ", cloud " + milliseconds_of(t.cloud_compute) +
         ", queue " + milliseconds_of(t.queue) + ", link " +
         milliseconds_of(t.total() - t.edge_compute - t.cloud_compute - t.queue) + ", switching " +
         milliseconds_of(decision.switching) +
         (decision.edge_wait > core::Seconds()
              ? ", waiting for the edge " + milliseconds_of(decision.edge_wait)
              : "") +
         "), at most " + milliseconds_of(decision.bound) + ", " +
         print("%.3g J", decision.energy.count()) +
         (decision.hedging > core::Joules()
              ? print(" (%.3g of them beside the cloud)", decision.hedging.count())
              : "") +
         " " + std::string(core::to_string(table.boundary)) + ", " +
         std::string(core::to_string(decision.prediction.energy.origin));
}

std::string Policy::explain(const Request& /*request*/, const LiveState& /*state*/,
                            const Decision& decision) {
  return scheduler::explain(table(), decision);
}

PassedOver::PassedOver(const ParetoTable& table, const Request& request, const LiveState& state,
                       double joules, const Decision& decision)
    : table_(table), request_(request), state_(state), joules_(joules), decision_(decision) {}

void PassedOver::add(const Composed& row, const Cost& cost) {
  const bool in_time = cost.bound <= (request_.deadline - request_.elapsed).count();
  const bool reachable = state_.cloud_reachable || !row.cloud;
  const bool right = row.accuracy >= static_cast<float>(request_.accuracy_floor);
  const bool brief = row.hold <= state_.edge_limit.count();
  const bool paid = cost.edge_energy <= joules_;
  const auto count = [&](Rows& rows, bool best) {
    ++rows.count;
    if (best)
      rows.best = row.row, rows.cost = cost;
  };
  if (reachable && right)
    count(soonest_, soonest_.best == no_row || cost.bound < soonest_.cost.bound);
  // Where one was in time, the cheaper ones are of interest; where none was, those that would be.
  if (decision_.meets_deadline ? cost.energy >= decision_.energy.count() : !in_time)
    return;
  if (reachable && right && in_time && brief && paid)
    return;
  Rows& rows = rows_[!reachable ? out_of_reach
                     : !right   ? below_floor
                     : !in_time ? late
                     : !brief   ? too_long
                                : too_dear];
  count(rows, rows.best == no_row || cost.energy < rows.cost.energy);
}

std::string PassedOver::text(Cause cause) const {
  const Rows& rows = rows_[cause];
  if (rows.count == 0)
    return {};
  const table::TableRow& row = table_.rows[rows.best];
  std::string text = decision_.meets_deadline ? "; cheaper but " : "; in time but ";
  text += cause == late          ? "too late"
          : cause == below_floor ? "below the accuracy floor"
          : cause == too_long    ? "keeping the edge too long for others"
          : cause == too_dear    ? "beyond what the energy budget leaves a request"
                                 : "in need of the cloud, which is out of reach";
  text += print(": %zu, the cheapest ", rows.count) + row.label +
          print(" with %.3g J", rows.cost.energy);
  if (cause == late)
    text += ", up to " + milliseconds_of(core::Seconds(rows.cost.bound)) + " of " +
            milliseconds_of(request_.deadline - request_.elapsed);
  if (cause == below_floor)
    text += print(", right %.4g of %.4g", row.ingredients.accuracy.value, request_.accuracy_floor);
  return text;
}

std::string PassedOver::text() const {
  std::string all;
  for (const Cause cause : {late, below_floor, out_of_reach, too_long, too_dear})
    all += text(cause);
  if (decision_.reason == Reason::refused && soonest_.best != no_row)
    all += "; the soonest is " + table_.rows[soonest_.best].label + ", up to " +
           milliseconds_of(core::Seconds(soonest_.cost.bound)) + " of " +
           milliseconds_of(request_.deadline - request_.elapsed);
  return all;
}

std::string learnt_text(const Factors& factors) {
  const auto noticed = [](double factor) { return std::abs(factor - 1) >= 0.005; };
  if (!noticed(factors.edge) && !noticed(factors.move) && !noticed(factors.cloud) &&
      !noticed(factors.power))
    return {};
  return print("; learnt: edge x%.2f, link x%.2f, cloud x%.2f", factors.edge, factors.move,
               factors.cloud) +
         (noticed(factors.power) ? print(", the edge's power x%.2f", factors.power) : "");
}

}  // namespace cleave::inline v0::scheduler
