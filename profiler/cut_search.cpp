#include "profiler/min_cut.hpp"

#include <cleave/profiler/cut_search.hpp>

#include <algorithm>
#include <cmath>
#include <set>

namespace cleave::inline v0::profiler {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::StepSet;

bool proper(const std::vector<double>& costs, std::uint32_t steps) {
  return costs.size() == steps && std::all_of(costs.begin(), costs.end(), [](double cost) {
           return std::isfinite(cost) && cost >= 0;
         });
}

Result<void> check(const core::StepGraph& graph, const CutCosts& costs) {
  if (!proper(costs.edge, graph.steps) || !proper(costs.cloud, graph.steps))
    return fail(Errc::invalid_argument,
                "a search for cuts needs one finite cost per step and host, none negative");
  if (!(costs.least_per_byte >= 0 && costs.most_per_byte >= costs.least_per_byte &&
        std::isfinite(costs.most_per_byte)))
    return fail(Errc::invalid_argument, "a search for cuts needs a range of costs per byte");
  return {};
}

// The bytes that a head pays for.
double bytes_paid(const core::StepGraph& graph, const StepSet& head) {
  double bytes = 0;
  for (const auto& payload : graph.payloads) {
    if (payload.producer != core::StepGraph::inputs && !head[payload.producer])
      continue;
    if (payload.output || std::any_of(payload.consumers.begin(), payload.consumers.end(),
                                      [&](std::uint32_t consumer) { return !head[consumer]; }))
      bytes += payload.bytes.count();
  }
  return bytes;
}

double compute_cost(const StepSet& head, const CutCosts& costs) {
  double sum = 0;
  for (std::size_t step = 0; step < head.size(); ++step)
    sum += head[step] ? costs.edge[step] : costs.cloud[step];
  return sum;
}

// The cost of a head as a line over the price of a byte.
struct Line {
  StepSet head;
  double compute = 0, bytes = 0;
  [[nodiscard]] double at(double per_byte) const { return compute + per_byte * bytes; }
};

Line line_of(const core::StepGraph& graph, StepSet head, const CutCosts& costs) {
  const double compute = compute_cost(head, costs), bytes = bytes_paid(graph, head);
  return {std::move(head), compute, bytes};
}

// Costs closer than this are rounding.
constexpr double tolerance = 1e-9;

// Finds every head on the lower envelope over the range of one CutCosts.
class Envelope {
 public:
  Envelope(const core::StepGraph& graph, MinCut& solver, const CutCosts& costs,
           std::set<StepSet>& found, std::size_t& solved, const std::stop_token& stop)
      : graph_(graph),
        solver_(solver),
        costs_(costs),
        found_(found),
        solved_(solved),
        stop_(stop) {}

  Result<void> run() {
    const Line cheap = solve(costs_.least_per_byte);
    const Line dear = solve(costs_.most_per_byte);
    return between(cheap, costs_.least_per_byte, dear, costs_.most_per_byte);
  }

 private:
  Line solve(double per_byte) {
    ++solved_;
    Line line = line_of(graph_, solver_.solve(costs_.edge, costs_.cloud, per_byte), costs_);
    found_.insert(line.head);
    return line;
  }

  // `left` is cheapest at `from`, `right` at `to`.
  Result<void> between(const Line& left, double from, const Line& right, double to) {
    if (stop_.stop_requested())
      return fail(Errc::cancelled, "interrupted");
    // A dearer byte never makes more of them cross.
    if (left.bytes <= right.bytes ||
        left.at(to) <= right.at(to) + tolerance * std::abs(right.at(to)))
      return {};
    const double middle = (right.compute - left.compute) / (left.bytes - right.bytes);
    if (!(middle > from && middle < to))
      return {};
    const Line below = solve(middle);
    const double known = left.at(middle);
    if (below.at(middle) >= known - tolerance * std::abs(known))
      return {};
    if (auto done = between(left, from, below, middle); !done)
      return done;
    return between(below, middle, right, to);
  }

  const core::StepGraph& graph_;
  MinCut& solver_;
  const CutCosts& costs_;
  std::set<StepSet>& found_;
  std::size_t& solved_;
  const std::stop_token& stop_;
};

}  // namespace

double cost_of(const core::StepGraph& graph, const StepSet& head, const CutCosts& costs,
               double per_byte) {
  return compute_cost(head, costs) + per_byte * bytes_paid(graph, head);
}

Result<CheapestHead> cheapest_head(const core::StepGraph& graph, const CutCosts& costs,
                                   double per_byte) {
  if (auto checked = check(graph, costs); !checked)
    return fail(checked);
  if (!(per_byte >= 0 && std::isfinite(per_byte)))
    return fail(Errc::invalid_argument, "a byte's cost must be finite and not negative");
  MinCut solver(graph);
  StepSet head = solver.solve(costs.edge, costs.cloud, per_byte);
  const double cost = cost_of(graph, head, costs, per_byte);
  return CheapestHead{std::move(head), cost};
}

Result<OptimalCuts> optimal_cuts(const core::StepGraph& graph, std::span<const CutCosts> costs,
                                 std::stop_token stop) {
  std::set<StepSet> found;
  OptimalCuts result;
  MinCut solver(graph);
  for (const CutCosts& one : costs) {
    if (auto checked = check(graph, one); !checked)
      return fail(checked);
    Envelope envelope(graph, solver, one, found, result.solved, stop);
    if (auto done = envelope.run(); !done)
      return fail(done);
  }
  for (const StepSet& head : found) {
    if (std::find(head.begin(), head.end(), false) != head.end())
      result.heads.push_back(head);
  }
  std::stable_sort(
      result.heads.begin(), result.heads.end(), [](const StepSet& a, const StepSet& b) {
        return std::count(a.begin(), a.end(), true) < std::count(b.begin(), b.end(), true);
      });
  return result;
}

}  // namespace cleave::inline v0::profiler
