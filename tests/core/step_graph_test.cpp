#include "tests/support/random_program.hpp"

#include <cleave/core/step_graph.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave;
using core::StepRange;
using core::StepSet;
using tests::RandomProgram;

TEST(StepRanges, SayWhichStepsAreInASet) {
  const StepSet set{true, true, false, true, false, false, true};
  const std::vector<StepRange> ranges{{0, 2}, {3, 4}, {6, 7}};
  EXPECT_EQ(core::ranges_of(set), ranges);
  EXPECT_EQ(core::set_of(ranges, 7), set);
  EXPECT_EQ(core::step_count(ranges), 4u);
  EXPECT_FALSE(core::is_prefix(ranges));
  EXPECT_TRUE(core::is_prefix(std::vector<StepRange>{{0, 5}}));
  EXPECT_TRUE(core::is_prefix({}));
  EXPECT_FALSE(core::is_prefix(std::vector<StepRange>{{1, 5}}));
}

TEST(StepRanges, ThatAreNotAscendingOrTooLongAreRefused) {
  const auto good = [](std::vector<StepRange> ranges) {
    return core::check_ranges(ranges, 10).has_value();
  };
  EXPECT_TRUE(good({}));
  EXPECT_TRUE(good({{0, 3}, {4, 10}}));
  EXPECT_FALSE(good({{0, 3}, {3, 10}}));  // one range
  EXPECT_FALSE(good({{0, 3}, {2, 10}}));
  EXPECT_FALSE(good({{4, 6}, {0, 2}}));
  EXPECT_FALSE(good({{3, 3}}));
  EXPECT_FALSE(good({{5, 3}}));
  EXPECT_FALSE(good({{0, 11}}));
  EXPECT_FALSE(good({{0, 0xFFFFFFFF}, {0, 2}}));
}

// Whatever the graph calls a head computes what the whole does, though the tail gets copies; what
// it refuses is refused for memory's sake only.
TEST(StepGraph, EveryHeadOfARandomProgramGivesTheWhole) {
  std::size_t heads = 0, refused_though_harmless = 0, harmful = 0, with_arguments = 0;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    const RandomProgram program(seed, {});
    const core::StepGraph graph = core::step_graph_of(program.memory());
    const std::vector<double> whole = program.whole();
    for (const StepSet& set : tests::all_sets(program.steps())) {
      const bool arguments = program.has_arguments(set);
      const bool head = core::is_head(graph, set);
      ASSERT_TRUE(arguments || !head) << seed;
      if (!arguments)
        continue;
      ++with_arguments;
      const bool same = program.divided(set) == whole;
      ASSERT_TRUE(same || !head) << seed;
      heads += head ? 1 : 0;
      harmful += same ? 0 : 1;
      refused_though_harmless += same && !head ? 1 : 0;
    }
  }
  EXPECT_GT(harmful, 3000u);  // else the programs would test nothing
  // Not one in six of the harmless is refused.
  EXPECT_LT(refused_though_harmless * 6, heads);
  RecordProperty("sets", static_cast<int>(with_arguments));
  RecordProperty("heads", static_cast<int>(heads));
  RecordProperty("refused_though_harmless", static_cast<int>(refused_though_harmless));
}

TEST(StepGraph, WithoutChangesInPlaceEverySetWithItsArgumentsIsAHead) {
  for (std::uint64_t seed = 0; seed < 500; ++seed) {
    const RandomProgram program(seed, {.in_place = false});
    const core::StepGraph graph = core::step_graph_of(program.memory());
    for (const StepSet& set : tests::all_sets(program.steps()))
      ASSERT_EQ(core::is_head(graph, set), program.has_arguments(set)) << seed;
  }
}

TEST(StepGraph, EveryPlaceInMemoryCrossesOnce) {
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    const RandomProgram program(seed, {});
    const core::StepGraph graph = core::step_graph_of(program.memory());
    for (const StepSet& set : tests::all_sets(program.steps())) {
      const bool all_edge = std::find(set.begin(), set.end(), false) == set.end();
      if (core::is_head(graph, set) && !all_edge) {
        ASSERT_EQ(core::bytes_across(graph, set).count(), program.bytes(set)) << seed;
      }
    }
  }
}

// A step that reads what a later one overwrites must not run after it.
TEST(StepGraph, AStepThatReadsWhatALaterOneChangesIsNotLeftBehind) {
  core::MemoryTrace trace;
  trace.values = {{core::StepGraph::inputs, {0}, false, {}, {0}, {}},
                  {0, {1, 2}, false, {}, {1}, {}},
                  {1, {}, true, {}, {2}, {}},
                  {2, {}, true, {}, {1}, {}}};
  trace.steps.resize(3);
  trace.steps[0].reads = {0};
  trace.steps[1].reads = {1};
  trace.steps[2].reads = {1};
  trace.steps[2].writes = {1};
  const core::StepGraph graph = core::step_graph_of(trace);
  EXPECT_TRUE(core::is_head(graph, {true, false, false}));
  EXPECT_TRUE(core::is_head(graph, {true, true, false}));
  EXPECT_FALSE(core::is_head(graph, {true, false, true}));
}

// Three views of columns take a third of the memory each; all of it, if it crosses itself.
TEST(StepGraph, AViewWithGapsCostsItsOwnElements) {
  core::MemoryTrace trace;
  trace.steps.resize(5);
  trace.values = {{0, {1, 2, 3}, false, {{0, 0, 72, 72}}, {0}, {}},
                  {1, {4}, false, {{0, 0, 56, 24}}, {0}, {}},
                  {2, {4}, false, {{0, 8, 64, 24}}, {0}, {}},
                  {3, {4}, false, {{0, 16, 72, 24}}, {0}, {}},
                  {4, {}, true, {{1, 0, 8, 8}}, {1}, {}}};
  const core::StepGraph graph = core::step_graph_of(trace);
  EXPECT_EQ(core::bytes_across(graph, {true, false, false, false, false}).count(), 72);
  EXPECT_EQ(core::bytes_across(graph, {true, true, false, false, false}).count(), 72);
  EXPECT_EQ(core::bytes_across(graph, {true, true, true, true, false}).count(), 72);
  trace.values[2].consumers.clear();
  trace.values[3].consumers.clear();
  const core::StepGraph one = core::step_graph_of(trace);
  EXPECT_EQ(core::bytes_across(one, {true, true, true, true, false}).count(), 24);
}

// input -> 0 -> 1 -> 2 -> output, and the input is read again by step 2.
TEST(StepGraph, AnInputThatIsReadLaterCrossesTheCutsBefore) {
  core::StepGraph graph;
  graph.steps = 3;
  graph.payloads = {{core::Bytes(100), core::StepGraph::inputs, {0, 2}, false},
                    {core::Bytes(40), 0, {1}, false},
                    {core::Bytes(30), 1, {2}, false},
                    {core::Bytes(8), 2, {}, true}};
  EXPECT_EQ(core::inputs_across(graph, {false, false, false}).count(), 100);
  EXPECT_EQ(core::inputs_across(graph, {true, true, false}).count(), 100);
  EXPECT_EQ(core::inputs_across(graph, {true, true, true}).count(), 0);
}

}  // namespace
