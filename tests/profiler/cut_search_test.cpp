#include "tests/support/random_program.hpp"

#include <cleave/profiler/cut_search.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace {

using namespace cleave;
using core::StepGraph;
using core::StepSet;
using profiler::CutCosts;
using tests::RandomProgram;

double uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1p-53;
}

CutCosts random_costs(std::uint32_t steps, std::mt19937_64& random) {
  CutCosts costs;
  const double slower = std::exp(2.5 * uniform(random) - 0.2);
  for (std::uint32_t s = 0; s < steps; ++s) {
    costs.cloud.push_back(uniform(random) < 0.2 ? 0 : uniform(random));
    costs.edge.push_back(costs.cloud.back() * slower * (0.5 + uniform(random)));
  }
  costs.least_per_byte = 0.002 * std::exp(3 * uniform(random));
  costs.most_per_byte = costs.least_per_byte * std::exp(4 * uniform(random));
  return costs;
}

// From first principles: what each step takes where it runs, and every byte of memory that crosses.
double cost_of(const RandomProgram& program, const StepSet& set, const CutCosts& costs,
               double per_byte) {
  double cost = per_byte * program.bytes(set);
  for (std::uint32_t s = 0; s < program.steps(); ++s)
    cost += set[s] ? costs.edge[s] : costs.cloud[s];
  return cost;
}

double least_cost(const RandomProgram& program, const StepGraph& graph, const CutCosts& costs,
                  double per_byte) {
  double least = std::numeric_limits<double>::infinity();
  for (const StepSet& set : tests::all_sets(program.steps()))
    if (core::is_head(graph, set))
      least = std::min(least, cost_of(program, set, costs, per_byte));
  return least;
}

TEST(CutSearch, TheCheapestHeadIsThatOfBruteForceOnThreeThousandRandomGraphs) {
  std::mt19937_64 random(7);
  std::size_t no_prefix = 0, all_edge = 0, all_cloud = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    const RandomProgram program(seed, {.steps = 9});
    const StepGraph graph = core::step_graph_of(program.memory());
    const CutCosts costs = random_costs(program.steps(), random);
    for (const double per_byte : {costs.least_per_byte, costs.most_per_byte}) {
      const auto found = profiler::cheapest_head(graph, costs, per_byte);
      ASSERT_TRUE(found) << found.error().message();
      ASSERT_TRUE(core::is_head(graph, found->head)) << seed;
      const double least = least_cost(program, graph, costs, per_byte);
      ASSERT_NEAR(found->cost, least, 1e-9 * least) << seed;
      ASSERT_NEAR(cost_of(program, found->head, costs, per_byte), found->cost, 1e-9 * least);
      const auto ranges = core::ranges_of(found->head);
      no_prefix += core::is_prefix(ranges) ? 0 : 1;
      all_edge += core::step_count(ranges) == program.steps() ? 1 : 0;
      all_cloud += ranges.empty() ? 1 : 0;
    }
  }
  // All kinds of answers occur.
  EXPECT_GT(no_prefix, 200u);
  EXPECT_GT(all_edge, 100u);
  EXPECT_GT(all_cloud, 100u);
}

TEST(CutSearch, SomeOptimalHeadIsCheapestAtEveryPriceOfAByte) {
  std::mt19937_64 random(11);
  std::size_t several = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const RandomProgram program(seed, {.steps = 8});
    const StepGraph graph = core::step_graph_of(program.memory());
    const CutCosts costs[] = {random_costs(program.steps(), random)};
    const auto found = profiler::optimal_cuts(graph, costs);
    ASSERT_TRUE(found) << found.error().message();
    several += found->heads.size() > 1 ? 1 : 0;
    const StepSet all(program.steps(), true);
    for (int i = 0; i <= 40; ++i) {
      const double per_byte = costs[0].least_per_byte *
                              std::pow(costs[0].most_per_byte / costs[0].least_per_byte, i / 40.0);
      double least = cost_of(program, all, costs[0], per_byte);
      for (const StepSet& head : found->heads)
        least = std::min(least, cost_of(program, head, costs[0], per_byte));
      const double right = least_cost(program, graph, costs[0], per_byte);
      ASSERT_NEAR(least, right, 1e-8 * right) << seed;
    }
  }
  EXPECT_GT(several, 30u);
}

TEST(CutSearch, CostsThatDoNotFitAreRefused) {
  StepGraph graph;
  graph.steps = 2;
  EXPECT_FALSE(profiler::cheapest_head(graph, {{1}, {1, 1}, 0, 1}, 1));
  EXPECT_FALSE(profiler::cheapest_head(graph, {{1, -1}, {1, 1}, 0, 1}, 1));
  EXPECT_FALSE(profiler::cheapest_head(graph, {{1, NAN}, {1, 1}, 0, 1}, 1));
  EXPECT_FALSE(profiler::cheapest_head(graph, {{1, 1}, {1, 1}, 0, 1}, -1));
  EXPECT_FALSE(profiler::cheapest_head(graph, {{1, 1}, {1, 1}, 2, 1}, 1));
  EXPECT_TRUE(profiler::cheapest_head(graph, {{1, 1}, {1, 1}, 1, 2}, 1));
  EXPECT_TRUE(profiler::cheapest_head({}, {}, 1)->head.empty());
}

}  // namespace
