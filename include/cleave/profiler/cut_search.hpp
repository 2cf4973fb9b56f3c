// The heads that cost least on a network's graph, whatever the order of its steps.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/step_graph.hpp>

#include <cstddef>
#include <span>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::profiler {

/// What a head costs:
///
///   sum of edge[i] over its steps + sum of cloud[i] over the others
///   + per_byte * core::bytes_across(graph, head)
///
/// in any unit, seconds and joules weighted against each other for example. None is negative.
struct CutCosts {
  std::vector<double> edge, cloud;  ///< one per step
  /// The range of what a byte costs on its way: bandwidths and codecs differ.
  double least_per_byte = 0, most_per_byte = 0;
};

/// The costs above of one head, but for the set of all steps: that one pays for its outputs, as if
/// they crossed.
CLEAVE_EXPORT double cost_of(const core::StepGraph& graph, const core::StepSet& head,
                             const CutCosts& costs, double per_byte);

struct CheapestHead {
  core::StepSet head;
  double cost = 0;
};

/// A head of least cost, by a minimum cut: the source stands for the edge, the sink for the cloud.
/// A step pays its cost on the edge towards the sink and its cost in the cloud towards the source;
/// what crosses is paid on an arc of its own, once for all consumers; that a step needs another is
/// an arc back that is never cut. A network that runs wholly on the edge sends nothing: that is no
/// head here but a case of its own, and the set of all steps is found only if it is cheapest
/// although its outputs are paid for.
/// Errc::invalid_argument: costs that do not fit the graph, or are negative or not finite.
CLEAVE_EXPORT core::Result<CheapestHead> cheapest_head(const core::StepGraph& graph,
                                                       const CutCosts& costs, double per_byte);

struct OptimalCuts {
  /// Distinct, by the number of steps; the set of all steps is not among them.
  std::vector<core::StepSet> heads;
  std::size_t solved = 0;  ///< minimum cuts computed
};

/// For each of the costs, a head that is cheapest at every price of a byte within the range, not
/// only on a grid of prices: the cost of one head is a line over the price and the least cost their
/// lower envelope, so that each crossing of two known lines is solved until nothing lies below
/// (M. J. Eisner and D. G. Severance, Mathematical techniques for efficient record segmentation in
/// large shared databases, J. ACM 23(4), 1976). Takes two solutions a head found, a few
/// milliseconds each for a thousand steps. Errors: as above; Errc::cancelled.
CLEAVE_EXPORT core::Result<OptimalCuts> optimal_cuts(const core::StepGraph& graph,
                                                     std::span<const CutCosts> costs,
                                                     std::stop_token stop = {});

}  // namespace cleave::inline v0::profiler
