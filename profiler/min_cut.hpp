// The cheapest head at one point of the parameters, as a minimum cut. Holds the flow network, so
// that many points cost one construction.
#pragma once

#include <cleave/core/step_graph.hpp>

#include <memory>
#include <vector>

namespace cleave::inline v0::profiler {

class MinCut {
 public:
  explicit MinCut(const core::StepGraph& graph);
  ~MinCut();
  MinCut(const MinCut&) = delete;
  MinCut& operator=(const MinCut&) = delete;

  /// See cheapest_head(). Not thread-safe.
  core::StepSet solve(const std::vector<double>& edge, const std::vector<double>& cloud,
                      double per_byte);

 private:
  class Network;
  std::unique_ptr<Network> network_;
};

}  // namespace cleave::inline v0::profiler
