// What a network's steps need of memory, beside what can be computed by hand and what is allocated.
#include "lib/model/memory_watch.hpp"
#include "lib/model/torch_pch.hpp"
#include "lib/model/zoo_torch.hpp"
#include "tests/model/split_support.hpp"

#include <gtest/gtest.h>

namespace cleave::test {
namespace {

using core::Bytes;

std::vector<core::StepMemory> memory_of(const model::Model& model) {
  const auto memory = model.measure_memory(model.example_inputs());
  EXPECT_TRUE(memory) << memory.error().message();
  return memory ? *memory : std::vector<core::StepMemory>();
}

TEST(Memory, TheWatchCountsWhatTensorsTake) {
  model::MemoryWatch watch;
  {
    const at::Tensor first = at::empty({1000});
    EXPECT_GE(watch.peak(), 4000U);
    EXPECT_LE(watch.peak(), 4400U);
    { const at::Tensor second = at::empty({5000}); }
    EXPECT_GE(watch.peak(), 24000U);
    watch.restart();
    EXPECT_LE(watch.peak(), 4400U) << "the second is gone";
  }
  watch.restart();
  EXPECT_EQ(watch.peak(), 0U);
}

TEST(Memory, AWatchedThreadSeesItsOwnAllocationsOnly) {
  model::MemoryWatch watch;
  std::thread([] { (void)at::empty({100000}); }).join();
  EXPECT_EQ(watch.peak(), 0U);
}

// y = relu(x W) is one matrix product, z = y W another with the same weights.
TEST(Memory, AChainOfProductsTakesItsArgumentsAndItsResult) {
  const auto model = lowered(script(R"(
def forward(self, x):
    y = torch.relu(torch.matmul(x, self.a))
    return torch.matmul(y, self.a)
)",
                                    {{"a", weights({64, 64})}}),
                             {"128x64"});
  const auto memory = memory_of(*model);
  ASSERT_EQ(memory.size(), model->step_count());
  const double values = 128 * 64 * 4;
  double most = 0;
  for (const core::StepMemory& step : memory) most = std::max(most, step.working.count());
  EXPECT_GE(most, 2 * values) << "the last step's argument and result";
  EXPECT_LE(most, 3.3 * values) << "blocks of memory are up to an eighth larger than asked for";
  const core::StepSet all(memory.size(), true);
  const double weights = 64 * 64 * 4;
  const double whole = core::memory_of(memory, all, Bytes(values)).count();
  EXPECT_GE(whole, values + most + weights);
}

TEST(Memory, WeightsOfAllStepsAreTheModels) {
  const auto module = model::make_zoo_module("resnet50", 1);
  ASSERT_TRUE(module);
  model::LoadOptions options;
  options.inputs = {*model::parse_input_spec("1x3x64x64")};
  options.plan_cache = "";
  const auto model = model::from_module(*module, "resnet50", options);
  ASSERT_TRUE(model) << model.error().message();
  const auto memory = memory_of(**model);
  core::StepSet all(memory.size(), true);
  double working = 0;
  for (const core::StepMemory& step : memory) working = std::max(working, step.working.count());
  const Bytes weights = core::memory_of(memory, all, Bytes(0)) - Bytes(working);
  EXPECT_NEAR(weights.count(), (*model)->weight_bytes().count(), 1);
  // The first convolution's result, 64 x 32 x 32, and the pool's after it are alive together.
  EXPECT_GE(working, 4.0 * 64 * (32 * 32 + 16 * 16));
  EXPECT_LE(working, 4e6);

  // Head and tail add up to the whole's weights wherever it is cut.
  for (const core::Cut& cut : (*model)->cuts()) {
    core::StepSet head(memory.size(), false);
    for (std::uint32_t i = 0; i < cut.position; ++i) head[i] = true;
    core::StepSet tail = head;
    tail.flip();
    const Bytes both =
        core::memory_of(memory, head, Bytes(0)) + core::memory_of(memory, tail, Bytes(0));
    EXPECT_GE(both.count(), (*model)->weight_bytes().count());
    EXPECT_LE(both.count(), (*model)->weight_bytes().count() + 2 * working);
  }
}

}  // namespace
}  // namespace cleave::test
