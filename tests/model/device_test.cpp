// Plans on other devices. libtorch's "meta" device, which has shapes but no bytes, is in every
// build: what would mix it with the CPU fails there as it would on an accelerator.
#include "lib/model/device.hpp"

#include "lib/model/convert.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/lower.hpp"
#include "lib/model/plan.hpp"
#include "lib/model/separate.hpp"
#include "lib/model/zoo_torch.hpp"
#include "tests/model/on_device.hpp"

#include <cleave/model/zoo.hpp>

#include <unistd.h>

#include <filesystem>

namespace cleave::test {
namespace {

using core::Errc;
const c10::Device meta(c10::DeviceType::Meta);

model::Plan plan_of(const torch::jit::Module& module) {
  return *model::plan_aten(*model::lower(module));
}

// Runs a plan from the start; its outputs.
std::vector<c10::IValue> run(const model::Plan& plan, std::vector<c10::IValue> inputs) {
  const at::NoGradGuard no_grad;
  model::Mover(plan.device).move(inputs);
  model::Frame frame(plan.slots.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) frame[plan.inputs[i]] = inputs[i];
  plan.run(0, static_cast<std::uint32_t>(plan.steps.size()), frame, nullptr);
  std::vector<c10::IValue> outputs;
  for (const auto& output : plan.outputs) outputs.push_back(plan.look_up(output, frame));
  return outputs;
}

// On the CPU and on "meta": the same sizes, the same ids, and nothing left on the CPU.
void check(const torch::jit::Module& module, const at::Tensor& input) {
  const auto on_cpu = plan_of(module);
  auto moved = model::on_device(plan_of(module), meta);
  ASSERT_TRUE(moved) << moved.error().message();
  EXPECT_EQ(model::structure_hash(*moved), model::structure_hash(on_cpu));
  EXPECT_EQ(model::cut_ids(*moved), model::cut_ids(on_cpu));
  for (const c10::IValue& constant : moved->constants)
    if (constant.isTensor() && constant.toTensor().defined()) {
      EXPECT_EQ(constant.toTensor().device(), meta);
    }
  const auto expected = run(on_cpu, {input});
  const auto given = run(*moved, {input});
  ASSERT_EQ(given.size(), expected.size());
  for (std::size_t i = 0; i < given.size(); ++i) {
    EXPECT_EQ(given[i].toTensor().device(), meta);
    EXPECT_EQ(given[i].toTensor().sizes(), expected[i].toTensor().sizes());
    EXPECT_EQ(given[i].toTensor().strides(), expected[i].toTensor().strides());
  }
}

TEST(Device, WhatAModuleMakesByItselfIsMadeThere) {
  for (const char* source : {
           "def forward(self, x):\n    return x + torch.zeros([4, 4])\n",
           "def forward(self, x):\n    return x + torch.arange(4) * 2\n",
           "def forward(self, x):\n    return x + torch.full([4], 3.5, device=x.device)\n",
           "def forward(self, x):\n    return torch.ones_like(x) + x.new_zeros([4])\n",
           "def forward(self, x):\n"
           "    return x + torch.eye(4, device=torch.device('cpu')) * 2\n",
           "def forward(self, x):\n    return torch.matmul(x.cpu(), self.a)\n",
           "def forward(self, x):\n    return torch.matmul(x.to('cpu'), self.a) + self.a[0]\n",
           "def forward(self, x):\n"
           "    if x.dim() == 2:\n        x = x + torch.ones([4]) + self.a\n"
           "    return x * torch.tensor([1.0, 2.0, 3.0, 4.0])\n",
           "def forward(self, x):\n"
           "    for i in range(x.size(0)):\n        x = x + torch.zeros([4]) + self.a[i]\n"
           "    return x\n",
       }) {
    SCOPED_TRACE(source);
    check(script(source, {{"a", weights({4, 4})}}), weights({4, 4}));
  }
}

// (libtorch 1.13 has no convolution on "meta", so it is not run.)
TEST(Device, AZooNetworkKeepsItsIdsAndLeavesNothingBehind) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("cleave-device-" + std::to_string(::getpid()) + ".pt");
  ASSERT_TRUE(model::build_zoo_model("mobilenet_v2", 1, path));
  const auto module = model::load_module(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(module);
  const auto on_cpu = plan_of(*module);
  const auto moved = model::on_device(plan_of(*module), meta);
  ASSERT_TRUE(moved) << moved.error().message();
  EXPECT_EQ(model::structure_hash(*moved), model::structure_hash(on_cpu));
  EXPECT_EQ(model::cut_ids(*moved), model::cut_ids(on_cpu));
  ASSERT_EQ(moved->constants.size(), on_cpu.constants.size());
  for (const c10::IValue& constant : moved->constants)
    if (constant.isTensor() && constant.toTensor().defined()) {
      EXPECT_EQ(constant.toTensor().device(), meta);
    }
}

TEST(Device, MovingKeepsStridesAndSharedMemoryAndTakesNoMoreThanIsReached) {
  const at::Tensor base = at::arange(1000, at::kFloat);
  std::vector<c10::IValue> values = {
      base.slice(0, 200, 300),
      base.slice(0, 250, 260).reshape({2, 5}).t(),
      std::int64_t{7},
      c10::IValue(std::vector<at::Tensor>{base.slice(0, 240, 270, 3)}),
      at::ones({2, 3}).expand({4, 2, 3}),
      at::empty({0, 3}),
      at::view_as_complex(at::randn({3, 2})).conj()};
  std::vector<c10::IValue> copies = values;
  model::Mover(c10::DeviceType::CPU).move(copies);
  const at::Tensor whole = copies[0].toTensor(), part = copies[1].toTensor();
  EXPECT_TRUE(at::equal(whole, values[0].toTensor()));
  EXPECT_TRUE(at::equal(part, values[1].toTensor()));
  EXPECT_EQ(part.strides(), values[1].toTensor().strides());
  EXPECT_TRUE(part.is_alias_of(whole));
  EXPECT_TRUE(copies[3].toTensorVector()[0].is_alias_of(whole));
  EXPECT_FALSE(whole.is_alias_of(base));
  EXPECT_LE(whole.storage().nbytes(), 100 * sizeof(float) + 64);
  EXPECT_EQ(copies[2].toInt(), 7);
  EXPECT_EQ(copies[4].toTensor().stride(0), 0);
  EXPECT_TRUE(at::equal(copies[4].toTensor(), values[4].toTensor()));
  EXPECT_EQ(copies[5].toTensor().sizes(), at::IntArrayRef({0, 3}));
  EXPECT_TRUE(at::equal(copies[6].toTensor(), values[6].toTensor()));
}

// No bytes lie where the processor could read them.
TEST(Device, ValuesAreSeparatedWhereTheyLie) {
  const at::Tensor base = at::empty({100}, at::TensorOptions(at::kFloat).device(meta));
  const at::Tensor view = base.slice(0, 10, 30).reshape({4, 5}).t();
  const at::Tensor empty = base.slice(0, 100, 100);
  const at::Tensor other = at::empty({3}, base.options());
  const auto copies =
      model::separate({view, base.slice(0, 20, 40), empty, other}, {true, false, false, false});
  const at::Tensor copy = copies[0].toTensor();
  EXPECT_EQ(copy.device(), meta);
  EXPECT_EQ(copy.sizes(), view.sizes());
  EXPECT_EQ(copy.strides(), view.strides());
  EXPECT_FALSE(copy.is_alias_of(base));
  EXPECT_TRUE(copies[1].toTensor().is_alias_of(copy));
  EXPECT_EQ(copies[2].toTensor().numel(), 0);
  EXPECT_TRUE(copies[3].toTensor().is_alias_of(other));
}

// The classes that a graph names live as long as what they were compiled in.
TEST(Device, APlanThatWasMovedKeepsItsClasses) {
  model::Plan plan = plan_of(script("def forward(self, x):\n    return x + 1\n"));
  plan.unit = std::make_shared<torch::jit::CompilationUnit>();
  const auto unit = plan.unit;
  const auto moved = model::on_device(std::move(plan), meta);
  ASSERT_TRUE(moved) << moved.error().message();
  EXPECT_EQ(moved->unit, unit);
}

TEST(Device, OneThatIsNotThereIsAClearError) {
  EXPECT_TRUE(model::find_device("cpu"));
  for (const char* name : {"", "gpu", "cuda:x", "cuda:-1"})
    EXPECT_EQ(model::find_device(name).error().code, Errc::invalid_argument) << name;
  EXPECT_EQ(model::find_device("cuda:99").error().code, Errc::unsupported);
  EXPECT_EQ(model::find_device("meta").error().code, Errc::unsupported);
  model::LoadOptions options;
  options.device = "cuda:99";
  options.inputs = {*model::parse_input_spec("4x4")};
  const auto model =
      model::from_module(script("def forward(self, x):\n    return x + 1\n"), "network", options);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Errc::unsupported);
  EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
}

// A GPU beside the CPU; what a network does on one of them alone, the other tests of this folder
// show on both.
class Cuda : public DeviceTest {
 protected:
  Cuda() : DeviceTest("cuda") {}

  // The same cuts on both; heads on the CPU with tails on the device and the other way round, with
  // copies between, as a link makes them.
  void check(const torch::jit::Module& module, const std::string& input,
             model::PlanKind plan) const {
    const auto cpu = test::lowered(module, {input}, true, plan);
    const auto cuda = lowered(module, {input}, true, plan);
    EXPECT_EQ(cuda->fingerprint(), cpu->fingerprint());
    ASSERT_EQ(cuda->cuts().size(), cpu->cuts().size());
    const auto inputs = cpu->example_inputs(5);
    const core::Values expected = run_whole(*cpu, inputs);
    EXPECT_LT(relative_difference(run_whole(*cuda, inputs), expected), tolerance());
    const core::CutId first = cpu->cuts().front().id, last = cpu->cuts().back().id;
    for (std::size_t i = 0; i < cpu->cuts().size(); ++i) {
      const core::CutId cut = cpu->cuts()[i].id;
      ASSERT_EQ(cuda->cuts()[i].id, cut);
      for (const auto& [edge, cloud] : {std::pair(cpu, cuda), std::pair(cuda, cpu)}) {
        const auto across = resettled(test::run(*edge, first, cut, inputs));
        EXPECT_LT(relative_difference(test::run(*cloud, cut, last, across), expected), tolerance())
            << "cut " << i << (edge == cpu ? ", head on the CPU" : ", tail on the CPU");
      }
    }
  }
};

TEST_F(Cuda, WorksWithTheCpuAtEveryCutOfANetwork) {
  for (const char* name : {"mobilenet_v2", "vit_b_16"}) {
    SCOPED_TRACE(name);
    const auto module = model::make_zoo_module(name, 1);
    ASSERT_TRUE(module);
    check(*module, "1x3x224x224", model::PlanKind::fused);
  }
}

TEST_F(Cuda, WorksWithTheCpuWhereMemoryIsShared) {
  for (const char* source : {
           "def forward(self, x):\n    x = torch.matmul(x, self.a)\n    y = x[:, 0:2]\n"
           "    z = torch.sigmoid(x)\n    y.mul_(3)\n    return torch.matmul(x, self.a) + z\n",
           "def forward(self, x):\n    x = torch.matmul(x, self.a)\n"
           "    parts = torch.broadcast_tensors([x, x])\n    y = torch.sigmoid(x)\n"
           "    parts[0].mul_(3)\n    return torch.matmul(x, self.a) + y + parts[1]\n",
           "def forward(self, x):\n    for i in range(x.size(0)):\n"
           "        x = torch.relu(torch.matmul(x, self.a)) + torch.zeros([4])\n    return x\n",
       }) {
    SCOPED_TRACE(source);
    check(script(source, {{"a", weights({4, 4})}}), "4x4", model::PlanKind::unfused);
  }
}

TEST_F(Cuda, StepsAreTimedToTheirEnd) {
  const auto model = lowered(script("def forward(self, x):\n    return torch.matmul(x, self.a)\n",
                                    {{"a", weights({512, 512})}}),
                             {"512x512"});
  std::vector<core::StepTime> times;
  ASSERT_TRUE(model->run_timed(model->cuts().front().id, model->cuts().back().id,
                               model->example_inputs(), times));
  EXPECT_EQ(times.size(), model->step_count());
}

}  // namespace
}  // namespace cleave::test
