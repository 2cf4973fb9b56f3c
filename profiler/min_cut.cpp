#include "profiler/min_cut.hpp"

// Boost's iterator over all edges of a graph keeps an optional that GCC cannot follow.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
#include <boost/graph/strong_components.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace cleave::inline v0::profiler {
namespace {

using core::StepGraph;
using core::StepSet;
// Whole numbers: sums of them are exact, so the algorithm ends and its cut is closed.
using Capacity = std::int64_t;

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
struct Arc {
  Capacity capacity = 0, residual = 0;
  Traits::edge_descriptor reverse;
};
struct Node {
  Traits::edge_descriptor predecessor;
  boost::default_color_type color = boost::white_color;
  long distance = 0;
};
using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, Node, Arc>;
using Edge = Traits::edge_descriptor;

// Above any sum of finite capacities, and a few of it still fit into a Capacity.
constexpr Capacity never = Capacity{1} << 56;
constexpr double all_together = static_cast<double>(Capacity{1} << 52);

}  // namespace

class MinCut::Network {
 public:
  explicit Network(const StepGraph& graph) : steps_(graph.steps) {
    merge(graph);
    flow_ = Graph(parts_ + 2);
    source_ = parts_;
    sink_ = parts_ + 1;
    for (std::size_t part = 0; part < parts_; ++part) {
      in_cloud_.push_back(arc(source_, part));
      on_edge_.push_back(arc(part, sink_));
    }
    std::map<std::pair<std::size_t, std::size_t>, bool> known;
    const auto forbid = [&](std::size_t on_edge, std::size_t in_cloud) {
      if (on_edge != in_cloud && known.emplace(std::pair(on_edge, in_cloud), true).second)
        flow_[arc(on_edge, in_cloud)].capacity = never;
    };
    for (const auto& [before, after] : graph.order) forbid(part_[after], part_[before]);
    for (const auto& [first, second] : graph.together) {
      forced_ = forced_ || first == StepGraph::inputs;
      forbid(first == StepGraph::inputs ? source_ : part_[first], part_[second]);
    }
    add_payloads(graph, forbid);
  }

  StepSet solve(const std::vector<double>& edge, const std::vector<double>& cloud,
                double per_byte) {
    std::vector<double> on_edge(parts_, 0), in_cloud(parts_, 0);
    for (std::uint32_t step = 0; step < steps_; ++step) {
      on_edge[part_[step]] += edge[step];
      in_cloud[part_[step]] += cloud[step];
    }
    double total = 0, all_cloud = per_byte * bytes_of_empty_;
    for (const auto& [part, bytes] : outputs_) on_edge[part] += per_byte * bytes;
    for (std::size_t part = 0; part < parts_; ++part) {
      total += on_edge[part] + in_cloud[part];
      all_cloud += in_cloud[part];
    }
    for (const auto& [arc, bytes] : payloads_) total += per_byte * bytes;
    if (total <= 0)
      return StepSet(steps_, false);
    const double scale = all_together / total;
    const auto whole = [&](double cost) { return static_cast<Capacity>(cost * scale + 0.5); };
    for (std::size_t part = 0; part < parts_; ++part) {
      // What both hosts ask for is paid anyway.
      const double paid = std::min(on_edge[part], in_cloud[part]);
      flow_[in_cloud_[part]].capacity = whole(in_cloud[part] - paid);
      flow_[on_edge_[part]].capacity = whole(on_edge[part] - paid);
    }
    for (const auto& [arc, bytes] : payloads_) flow_[arc].capacity = whole(per_byte * bytes);
    const Capacity flow = boost::boykov_kolmogorov_max_flow(
        flow_, boost::get(&Arc::capacity, flow_), boost::get(&Arc::residual, flow_),
        boost::get(&Arc::reverse, flow_), boost::get(&Node::predecessor, flow_),
        boost::get(&Node::color, flow_), boost::get(&Node::distance, flow_),
        boost::get(boost::vertex_index, flow_), source_, sink_);
    double paid = 0;
    for (std::size_t part = 0; part < parts_; ++part)
      paid += std::min(on_edge[part], in_cloud[part]);
    StepSet head(steps_, false);
    // With nothing on the edge no in-place step can do harm, so what is forced is so no more.
    if (forced_ && all_cloud <= paid + static_cast<double>(flow) / scale)
      return head;
    for (std::uint32_t step = 0; step < steps_; ++step)
      head[step] = flow_[part_[step]].color == boost::black_color;
    return head;
  }

 private:
  // Steps that must be on the same side become one node.
  void merge(const StepGraph& graph) {
    Graph needs(graph.steps);
    for (const auto& [before, after] : graph.order) boost::add_edge(after, before, needs);
    for (const auto& [first, second] : graph.together) {
      if (first != StepGraph::inputs)
        boost::add_edge(first, second, needs);
    }
    part_.resize(graph.steps);
    parts_ = graph.steps == 0
                 ? 0
                 : static_cast<std::size_t>(boost::strong_components(
                       needs, boost::make_iterator_property_map(
                                  part_.begin(), boost::get(boost::vertex_index, needs))));
  }

  template <class Forbid>
  void add_payloads(const StepGraph& graph, const Forbid& forbid) {
    // By where they come from and where they go: equal ones are one.
    std::map<std::pair<std::size_t, std::vector<std::size_t>>, double> bytes_between;
    for (const StepGraph::Payload& payload : graph.payloads) {
      const double bytes = payload.bytes.count();
      const bool given = payload.producer == StepGraph::inputs;
      if (bytes <= 0 || (given && payload.output))  // the latter are paid for by any head
        continue;
      if (given && !payload.consumers.empty())
        bytes_of_empty_ += bytes;
      const std::size_t from = given ? source_ : part_[payload.producer];
      if (payload.output) {
        outputs_.emplace_back(from, bytes);
        continue;
      }
      std::vector<std::size_t> to;
      for (const std::uint32_t consumer : payload.consumers) {
        if (part_[consumer] != from || given)
          to.push_back(part_[consumer]);
      }
      std::sort(to.begin(), to.end());
      to.erase(std::unique(to.begin(), to.end()), to.end());
      if (!to.empty())
        bytes_between[{from, std::move(to)}] += bytes;
    }
    for (const auto& [ends, bytes] : bytes_between) {
      const auto& [from, to] = ends;
      std::size_t crosses = to.front();
      if (to.size() > 1) {
        crosses = boost::add_vertex(flow_);
        for (const std::size_t consumer : to) forbid(crosses, consumer);
      }
      payloads_.emplace_back(arc(from, crosses), bytes);
    }
  }

  Edge arc(std::size_t from, std::size_t to) {
    const Edge there = boost::add_edge(from, to, flow_).first;
    const Edge back = boost::add_edge(to, from, flow_).first;
    flow_[there].reverse = back;
    flow_[back].reverse = there;
    return there;
  }

  std::uint32_t steps_;
  std::vector<std::size_t> part_;  // of each step
  std::size_t parts_ = 0, source_ = 0, sink_ = 0;
  Graph flow_;
  std::vector<Edge> in_cloud_, on_edge_;                 // of each part
  std::vector<std::pair<Edge, double>> payloads_;        // bytes
  std::vector<std::pair<std::size_t, double>> outputs_;  // parts that give outputs, bytes
  double bytes_of_empty_ = 0;                            // what crosses with nothing on the edge
  bool forced_ = false;
};

MinCut::MinCut(const StepGraph& graph) : network_(std::make_unique<Network>(graph)) {}
MinCut::~MinCut() = default;

StepSet MinCut::solve(const std::vector<double>& edge, const std::vector<double>& cloud,
                      double per_byte) {
  return network_->solve(edge, cloud, per_byte);
}

}  // namespace cleave::inline v0::profiler
