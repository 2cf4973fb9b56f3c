#include <cleave/core/step_memory.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave;
using core::Bytes;
using core::StepMemory;

// Three steps; the last reads the first one's weights again.
const std::vector<StepMemory> steps{{Bytes(100), {{1, Bytes(40)}}},
                                    {Bytes(300), {{2, Bytes(7)}, {2, Bytes(7)}}},
                                    {Bytes(50), {{1, Bytes(40)}, {3, Bytes(5)}}}};

TEST(StepMemory, WeightsOfOnePieceCountOnce) {
  EXPECT_EQ(core::memory_of(steps, {true, true, true}, Bytes(10)), Bytes(10 + 300 + 40 + 7 + 5));
}

TEST(StepMemory, APartNeedsItsOwnStepsOnly) {
  EXPECT_EQ(core::memory_of(steps, {true, false, false}, Bytes(10)), Bytes(10 + 100 + 40));
  EXPECT_EQ(core::memory_of(steps, {false, true, true}, Bytes(20)), Bytes(20 + 300 + 7 + 40 + 5));
  EXPECT_EQ(core::memory_of(steps, {true, false, true}, Bytes(0)), Bytes(100 + 40 + 5));
  EXPECT_EQ(core::memory_of(steps, {false, false, false}, Bytes(8)), Bytes(8));
}

}  // namespace
