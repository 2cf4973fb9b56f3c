#include "profiler/graph_cuts.hpp"

#include "tests/support/synthetic_profile.hpp"

#include <cleave/table/files.hpp>
#include <cleave/table/predictor.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <limits>

namespace {

using namespace cleave;
using core::StepGraph;
using core::StepSet;

// A residual network of so many steps: blocks of five (two convolutions with activations, then the
// sum), whose tensors halve every eighth of the way, and every fourth block has two branches.
StepGraph residual_graph(std::uint32_t blocks) {
  StepGraph graph;
  const auto bytes_at = [&](std::uint32_t block) {
    return core::Bytes(800e3 / std::pow(2, std::floor(8.0 * block / blocks)));
  };
  std::uint32_t before = StepGraph::inputs;
  const auto give = [&](core::Bytes bytes, std::uint32_t from, std::vector<std::uint32_t> to) {
    for (const std::uint32_t step : to)
      if (from != StepGraph::inputs)
        graph.order.push_back({from, step});
    graph.payloads.push_back({bytes, from, std::move(to), false});
  };
  for (std::uint32_t block = 0; block < blocks; ++block) {
    const std::uint32_t at = block * 5;
    const core::Bytes bytes = block == 0 ? core::Bytes(600e3) : bytes_at(block - 1);
    if (block % 4 == 3) {  // two branches, with narrow necks
      give(bytes, before, {at, at + 2});
      give(bytes_at(block) / 12.0, at, {at + 1});
      give(bytes_at(block), at + 1, {at + 4});
      give(bytes_at(block) / 12.0, at + 2, {at + 3});
      give(bytes_at(block), at + 3, {at + 4});
    } else {
      give(bytes, before, {at, at + 4});
      for (std::uint32_t i = 0; i < 4; ++i) give(bytes_at(block), at + i, {at + i + 1});
    }
    before = at + 4;
  }
  graph.steps = blocks * 5;
  graph.payloads.push_back({core::Bytes(4000), before, {}, true});
  return graph;
}

table::Profile profile_of(const StepGraph& graph, std::uint64_t seed) {
  test::SyntheticOptions options;
  options.seed = seed;
  options.steps = graph.steps;
  table::Profile profile = test::synthetic_profile(options);
  profile.chunk = core::Bytes(0);
  StepSet head(graph.steps, false);
  for (table::CutProfile& cut : profile.cuts) {
    cut.raw = core::bytes_across(graph, head);
    if (cut.position < graph.steps)
      head[cut.position] = true;
    for (std::size_t c = 0; c < cut.codecs.size(); ++c)
      cut.codecs[c].encoded = cut.raw / (c == 0 ? 1.0 : c == 1 ? 2.0 : 4.0) + core::Bytes(64);
  }
  return profile;
}

struct Best {
  double all = std::numeric_limits<double>::infinity(), kept = all;
};

// The cheapest of all cuts and of those kept, by brute force over cuts and codecs.
template <class Visit>
void at_every_point(const table::Profile& profile, const std::vector<bool>& keep,
                    const Visit& visit) {
  for (const table::Setting& edge : profile.hosts[0].settings)
    for (const table::Setting& cloud : profile.hosts[1].settings) {
      std::vector<std::pair<std::size_t, table::Ingredients>> priced;
      for (std::size_t c = 0; c < profile.cuts.size(); ++c)
        for (const std::string& codec : profile.codecs)
          if (auto in =
                  table::price(profile, {{{core::edge_host, profile.cuts[c].id, edge.levels},
                                          {core::cloud_host, profile.cuts.back().id, cloud.levels}},
                                         {codec}}))
            priced.emplace_back(c, *in);
      for (double factor = 1 / 8.0; factor <= 8.01; factor *= 1.31)
        for (const double floor : {0.0, 0.8975, 0.9075, 0.9175})
          for (double weight = 0; weight <= 1.001; weight += 0.05) {
            Best best;
            for (const auto& [cut, in] : priced) {
              if (in.accuracy.value < floor)
                continue;
              table::LinkState link = table::link_of(profile);
              link.up = link.up * factor;
              link.down = link.down * factor;
              const auto made = table::compose(in, link, core::Seconds());
              const double cost =
                  (1 - weight) * made.latency.total().count() / 0.1 +
                  weight * made.energy.total(core::Boundary::edge_cloud_device).count() / 0.3;
              best.all = std::min(best.all, cost);
              if (keep[cut])
                best.kept = std::min(best.kept, cost);
            }
            visit(best);
          }
    }
}

TEST(GraphCuts, AThousandStepsOfferTensOfCutsAndNoneThatIsMissedIsBetter) {
  const StepGraph graph = residual_graph(200);
  ASSERT_EQ(graph.steps, 1000u);
  const table::Profile profile = profile_of(graph, 3);
  ASSERT_TRUE(validate(profile)) << validate(profile).error().message();
  const profiler::CutRange range;
  const auto keep = profiler::cuts_to_keep(profile, range);
  const auto kept = std::count(keep.begin(), keep.end(), true);
  const auto best_somewhere = profiler::cuts_to_keep(profile, {.margin = 1e9});
  EXPECT_TRUE(keep.front() && keep.back());
  EXPECT_LT(kept, 100);
  EXPECT_GT(kept, 5);
  std::size_t points = 0, missed = 0;
  double worst = 0;
  at_every_point(profile, keep, [&](const Best& best) {
    ++points;
    const double loss = best.kept / best.all - 1;
    missed += loss > 1e-9 ? 1 : 0;
    worst = std::max(worst, loss);
  });
  std::printf(
      "[  cuts    ] %td of %zu kept, %td for being the best; %zu points of the parameters, another "
      "was best at %zu, "
      "by at most %.4f %%\n",
      kept, profile.cuts.size(), std::count(best_somewhere.begin(), best_somewhere.end(), true),
      points, missed, worst * 100);
  EXPECT_LT(worst, 0.001);
}

TEST(GraphCuts, TheSearchOnAThousandStepsFindsCutsAcrossBranches) {
  const StepGraph graph = residual_graph(200);
  const table::Profile profile = profile_of(graph, 3);
  const profiler::CutRange range;
  const auto costs = profiler::costs_of(profile, range);
  const auto start = std::chrono::steady_clock::now();
  const auto found = profiler::cuts_across_branches(graph, profile, range, {});
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  ASSERT_TRUE(found) << found.error().message();
  std::printf("[  search  ] %zu settings and weights, %zu minimum cuts in %.2f s, %zu heads\n",
              costs.size(), found->solved, took.count(), found->heads.size());
  EXPECT_LE(found->heads.size(), 32u);
  EXPECT_GE(found->heads.size(), 1u);
  for (const StepSet& head : found->heads) {
    EXPECT_TRUE(core::is_head(graph, head));
    EXPECT_FALSE(core::is_prefix(core::ranges_of(head)));
  }
}

// At every cost some found head, or a prefix, is as cheap as the cheapest of all.
TEST(GraphCuts, NoHeadBeatsThePrefixesAndTheFoundByMoreThanTheGain) {
  const StepGraph graph = residual_graph(12);
  const table::Profile profile = profile_of(graph, 5);
  const profiler::CutRange range;
  const auto found = profiler::cuts_across_branches(graph, profile, range, {});
  ASSERT_TRUE(found) << found.error().message();
  std::vector<StepSet> offered = found->heads;
  StepSet prefix(graph.steps, false);
  for (std::uint32_t step = 0; step < graph.steps; ++step) {
    offered.push_back(prefix);
    prefix[step] = true;
  }
  for (const profiler::CutCosts& costs : profiler::costs_of(profile, range))
    for (int i = 0; i <= 6; ++i) {
      const double per_byte =
          costs.least_per_byte * std::pow(costs.most_per_byte / costs.least_per_byte, i / 6.0);
      const auto cheapest = profiler::cheapest_head(graph, costs, per_byte);
      ASSERT_TRUE(cheapest);
      double least = profiler::cost_of(graph, prefix, costs, 0);  // all on the edge
      for (const StepSet& head : offered)
        least = std::min(least, profiler::cost_of(graph, head, costs, per_byte));
      EXPECT_LE(least, cheapest->cost * (1 + 1.01 * range.gain) + 1e-12);
    }
}

}  // namespace
