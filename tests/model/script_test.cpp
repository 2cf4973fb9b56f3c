// What TorchScript may hold: inputs and outputs of any kind, sizes that change, attributes that are
// assigned, operators from libraries.
#include "lib/model/op_library.hpp"
#include "tests/model/on_device.hpp"

#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>

#include <filesystem>
#include <thread>

namespace cleave::test {
namespace {

using core::Errc;

// "ops.library.name", as the code in TorchScript files names operators that are not libtorch's.
class Ops : public torch::jit::SugaredValue {
 public:
  explicit Ops(std::string library = "") : library_(std::move(library)) {}
  std::string kind() const override { return "operators"; }
  std::shared_ptr<SugaredValue> attr(const torch::jit::SourceRange&, torch::jit::GraphFunction&,
                                     const std::string& field) override {
    if (library_.empty())
      return std::make_shared<Ops>(field);
    return std::make_shared<torch::jit::BuiltinFunction>(
        c10::Symbol::fromQualString(library_ + "::" + field),
        decltype(torch::jit::BuiltinFunction::self)());
  }

 private:
  std::string library_;
};

struct OpsResolver : torch::jit::NativeResolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(
      const std::string& name, torch::jit::GraphFunction& method,
      const torch::jit::SourceRange& at) override {
    if (name == "ops")
      return std::make_shared<Ops>();
    return NativeResolver::resolveValue(name, method, at);
  }
};

torch::jit::Module with_operators(const std::string& source) {
  torch::jit::Module module("Network");
  module.define(source, std::make_shared<OpsResolver>());
  return module;
}

core::Values whole_of(const model::Model& model, const core::Values& inputs) {
  return run_whole(model, inputs);
}

class TorchScript : public OnDevice {
 protected:
  // Every cut with the example inputs, and the whole against the module on the CPU.
  std::shared_ptr<const model::Model> check(const torch::jit::Module& module,
                                            const std::vector<std::string>& inputs) const {
    const auto model = lowered(module, inputs);
    const auto values = model->example_inputs(3);
    check_every_cut(*model, values);
    torch::jit::Module plain = module.deepcopy();
    plain.eval();
    const at::NoGradGuard no_grad;
    const torch::jit::GraphOptimizerEnabledGuard line_by_line(false);
    const auto& arguments = plain.get_method("forward").function().getSchema().arguments();
    std::vector<c10::IValue> given;
    const core::Values copies = resettled(values);
    for (std::size_t i = 0; i < copies.size(); ++i)
      given.push_back(*model::to_torch(copies[i], arguments[i + 1].type()));
    const core::Values expected = {*model::from_torch(plain.forward(std::move(given)))};
    EXPECT_LT(relative_difference(whole_of(*model, values), expected), tolerance());
    return model;
  }

  core::Result<std::shared_ptr<const model::Model>> load(
      const torch::jit::Module& module, const std::vector<std::string>& inputs) const {
    model::LoadOptions options;
    options.all_cuts = true;
    options.device = device();
    for (const auto& input : inputs) options.inputs.push_back(*model::parse_input_spec(input));
    return model::from_module(module, "network", options);
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, TorchScript, testing::ValuesIn(devices()), device_name);

TEST_P(TorchScript, ListsTuplesDictionariesAndNumbersAreInputsAndOutputs) {
  const auto module = script(R"(
def forward(self, images: List[Tensor], pair: Tuple[Tensor, int], named: Dict[str, Tensor], scale: float, flag: bool, mode: str, counts: Dict[int, Tensor]):
    total = torch.zeros_like(pair[0])
    for image in images:
        total = total + torch.relu(image)
    total = torch.matmul(total, self.a) * scale
    if flag:
        total = total + named["mask"] * pair[1]
    if mode == "fast":
        total = torch.tanh(total)
    return {"sum": total, "first": images[0]}, [total, counts[3]], (pair[1] + 1, mode)
)",
                             {{"a", weights({6, 6})}});
  const auto model = check(module, {"[4x6,4x6]", "(4x6,int:3)", "{mask=4x6}", "float:0.25",
                                    "bool:true", "str:fast", "{3=1x2}"});
  // Longer lists, other numbers and words.
  core::Values inputs = model->example_inputs(5);
  std::get<core::Value::List>(inputs[0].data)
      .items.push_back(std::get<core::Value::List>(inputs[0].data).items[0]);
  inputs[5] = std::string("slow");
  check_every_cut(*model, inputs);
  // Values of another kind are refused by name.
  inputs[3] = std::string("a half");
  const auto wrong = model->run(model->cuts().front().id, model->cuts().back().id, inputs);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, Errc::invalid_argument);
}

TEST_P(TorchScript, OptionalValuesMayBeGivenOrNot) {
  const auto module = script(R"(
def forward(self, x: Tensor, mask: Optional[Tensor], bias: Optional[Tensor] = None, times: int = 2):
    x = torch.matmul(x, self.a)
    if mask is not None:
        x = x * mask
    if bias is not None:
        x = x + bias
    return torch.relu(x) * times, mask
)",
                             {{"a", weights({6, 6})}});
  check(module, {"4x6", "4x6", "6", "int:3"});
  const auto without = check(module, {"4x6", "none"});
  EXPECT_EQ(without->inputs().size(), 2u);  // the others keep their defaults
  core::Values inputs = without->example_inputs();
  const core::Values alone = whole_of(*without, inputs);
  inputs[1] = inputs[0];
  check_every_cut(*without, inputs);
  EXPECT_FALSE(bit_equal(whole_of(*without, inputs), alone));
  const auto too_few = load(module, {"4x6"});
  ASSERT_FALSE(too_few);
  EXPECT_NE(too_few.error().message().find("2 inputs"), std::string::npos)
      << too_few.error().message();
}

TEST_P(TorchScript, AnInputOfAnotherKindIsRefusedByName) {
  const auto module = script("def forward(self, x: Tensor, k: int):\n    return x * k\n");
  const auto model = load(module, {"4", "4"});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, Errc::invalid_argument);
  EXPECT_NE(model.error().message().find("'k"), std::string::npos) << model.error().message();
}

TEST_P(TorchScript, OtherBatchesAndImageSizesRunCutAsTheWhole) {
  const auto module = script(R"(
def forward(self, x):
    x = torch.conv2d(x, self.a, None, [1, 1], [1, 1])
    x = torch.relu_(x)
    y = torch.conv2d(x, self.b, None, [2, 2], [1, 1])
    y += x[:, :, ::2, ::2]
    y = torch.relu_(y)
    return torch.flatten(torch.adaptive_avg_pool2d(y, [1, 1]), 1)
)",
                             {{"a", weights({4, 3, 3, 3})}, {"b", weights({4, 4, 3, 3})}});
  const auto model = check(module, {"1x3x8x8"});
  for (const auto& sizes : std::vector<std::vector<std::int64_t>>{{5, 3, 8, 8}, {2, 3, 14, 10}}) {
    const core::Values inputs = {*model::from_torch(at::randn(sizes))};
    check_every_cut(*model, inputs);
    EXPECT_LT(relative_difference(whole_of(*model, inputs), forward(module, inputs)), tolerance());
  }
  const auto run_with = [&](const at::Tensor& input) {
    return model->run(model->cuts().front().id, model->cuts().back().id,
                      {*model::from_torch(input)});
  };
  // Element type and number of dimensions are the example's.
  EXPECT_EQ(run_with(at::randn({3, 8, 8})).error().code, Errc::invalid_argument);
  EXPECT_EQ(run_with(at::ones({1, 3, 8, 8}, at::kInt)).error().code, Errc::invalid_argument);
  // What the network itself cannot take is its own error.
  EXPECT_EQ(run_with(at::randn({1, 5, 8, 8})).error().code, Errc::invalid_argument);
}

TEST_P(TorchScript, UnseenSizesMayComeFromSeveralThreadsAtOnce) {
  const auto module = script(R"(
def forward(self, x, y):
    x.add_(1)
    z = torch.matmul(x, y)
    y.mul_(2)
    return z + x.sum() + y.sum()
)");
  const auto model = lowered(module, {"4x4", "4x4"});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::int64_t size = 3; size < 12; ++size) {
        const core::Values inputs = {*model::from_torch(at::randn({size, size})),
                                     *model::from_torch(at::randn({size, size}))};
        const core::Values given = resettled(inputs);
        const core::Values whole = whole_of(*model, inputs);
        EXPECT_TRUE(bit_equal(inputs, given)) << "thread " << t;
        EXPECT_LT(relative_difference(whole, forward(module, inputs)), tolerance());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Which elements of a list are one tensor depends on how many the caller gives.
TEST_P(TorchScript, ACutThatIsUnsafeForOtherSizesIsRefusedThere) {
  const auto module = script(R"(
def forward(self, x: Tensor, parts: List[Tensor]):
    y = torch.tanh(x)
    parts.append(y)
    z = parts[1]
    w = torch.sigmoid(y)
    z.mul_(3)
    return y + w + z
)");
  const auto model = lowered(module, {"2x2", "[2x2,2x2]"});
  const core::Values example = model->example_inputs(1);
  check_every_cut(*model, example);
  // With one element fewer in the list, z is y.
  core::Values shorter = example;
  std::get<core::Value::List>(shorter[1].data).items.pop_back();
  const auto cuts = model->cuts();
  const core::Values whole = whole_of(*model, shorter);
  for (const core::Cut& cut : cuts) {
    const auto across = model->run(cuts.front().id, cut.id, shorter);
    if (across) {
      EXPECT_TRUE(bit_equal(run(*model, cut.id, cuts.back().id, resettled(*across)), whole));
    } else {
      EXPECT_EQ(across.error().code, Errc::unsupported);
    }
  }
}

TEST_P(TorchScript, ATracedNetworkForgetsTheSizesOfItsExample) {
  // A traced graph carries the example's sizes in its types; passes would fold them.
  const auto module = script(R"(
def forward(self, x):
    n = x.size(0)
    return torch.relu(x).view(n, -1).sum(1)
)");
  torch::jit::Module typed = module.clone();
  const auto method = typed.get_method("forward").graph();
  method->inputs()[1]->setType(c10::TensorType::create(at::zeros({2, 3, 4})));
  const auto model = lowered(typed, {"2x3x4"});
  const core::Values inputs = {*model::from_torch(at::randn({5, 2, 2}))};
  EXPECT_LT(relative_difference(whole_of(*model, inputs), forward(module, inputs)),
            tolerance() / 10);
}

TEST_P(TorchScript, AModelThatChangesItsOwnAttributesIsRefusedByName) {
  const auto named = [this](const char* source, const char* attribute) {
    torch::jit::Module module("Network");
    module.register_buffer("seen", at::zeros({1}));
    module.register_attribute("calls", c10::IntType::get(), 0);
    module.register_attribute("first", c10::OptionalType::ofTensor(), c10::IValue());
    module.register_attribute("kept", c10::ListType::ofTensors(), c10::List<at::Tensor>());
    module.define(source);
    torch::jit::Module outer("Outer");
    outer.register_module("inner", module);
    outer.define("def forward(self, x: Tensor):\n    return self.inner.forward(x) * 2\n");
    const auto model = load(outer, {"2x6"});
    ASSERT_FALSE(model);
    EXPECT_EQ(model.error().code, Errc::unsupported);
    const std::string message = model.error().message();
    EXPECT_NE(message.find(attribute), std::string::npos) << message;
    EXPECT_NE(message.find("inner"), std::string::npos) << message;
    EXPECT_EQ(module.attr("seen").toTensor().item<float>(), 0) << "the module was changed";
    EXPECT_EQ(module.attr("calls").toInt(), 0);
  };
  named("def forward(self, x: Tensor):\n    self.seen.add_(1)\n    return x + self.seen\n", "seen");
  named("def forward(self, x: Tensor):\n    self.calls += 1\n    return x + self.calls\n", "calls");
  named("def forward(self, x: Tensor):\n    self.kept.append(x)\n    return x + len(self.kept)\n",
        "kept");
  named(
      "def forward(self, x: Tensor):\n    same = torch.atleast_1d(self.seen)\n"
      "    same.add_(1)\n    return x + same\n",
      "seen");
  // Filled once, but with something that later results depend on.
  named(R"(
def forward(self, x: Tensor):
    first = self.first
    if first is None:
        first = x
        self.first = first
    return x + first
)",
        "first");
}

TEST_P(TorchScript, AnAttributeThatIsFilledOnceAndChangesNothingIsAllowed) {
  torch::jit::Module module("Network");
  module.register_attribute("scale", c10::OptionalType::create(c10::FloatType::get()),
                            c10::IValue());
  module.register_attribute("warned", c10::BoolType::get(), false);
  module.define(R"(
def forward(self, x: Tensor):
    scale = self.scale
    if scale is None:
        scale = 0.5 * x.dim()
        self.scale = scale
    if not self.warned:
        self.warned = True
    for i in range(3):
        x = torch.relu(x * scale - 0.1)
    return x
)");
  check(module, {"2x6"});
  EXPECT_TRUE(module.attr("scale").isNone()) << "the module was changed";
}

TEST_P(TorchScript, OperatorsOfTorchvisionAreThereWhenAFileNeedsThem) {
  model::register_torchvision_ops();
  const auto module = with_operators(R"(
def forward(self, boxes: Tensor, scores: Tensor, maps: Tensor, rois: Tensor):
    kept = ops.torchvision.nms(boxes, scores, 0.5)
    return boxes[kept], ops.torchvision.roi_align(maps, torch.clamp(rois, 0.0, 2.0), 1.0, 2, 2, 1, False)
)");
  const auto model = lowered(module, {"3x4", "3", "3x1x4x4", "1x5"});
  // The second box covers the first by 81/100 and has less weight; the third is apart.
  const at::Tensor boxes = at::tensor({0., 0., 10., 10., 0., 0., 9., 9., 20., 20., 30., 30.})
                               .view({3, 4})
                               .to(at::kFloat);
  const at::Tensor scores = at::tensor({0.9F, 0.8F, 0.95F});
  // One sample in the middle of each bin of the region (0, 0) to (2, 2): rows and columns 0.5, 1.5.
  const at::Tensor maps = at::arange(16, at::kFloat).view({1, 1, 4, 4});
  const at::Tensor rois = at::tensor({0.F, 0.F, 0.F, 2.F, 2.F}).view({1, 5});
  core::Values inputs;
  for (const at::Tensor& tensor : {boxes, scores, maps, rois})
    inputs.emplace_back(*model::from_torch(tensor));
  const auto outputs = tensors(whole_of(*model, inputs));
  EXPECT_TRUE(at::equal(model::to_torch(outputs.at(0)),
                        boxes.index_select(0, at::tensor({2, 0}, at::kLong))));
  EXPECT_TRUE(
      at::allclose(model::to_torch(outputs.at(1)).flatten(), at::tensor({2.5F, 3.5F, 6.5F, 7.5F})));
  check_every_cut(*model, inputs);
}

TEST(OperatorLibrary, OneThatCannotBeOpenedSaysWhy) {
  namespace fs = std::filesystem;
  model::LoadOptions options;
  options.op_libraries = {"/nowhere/ops.so"};
  EXPECT_EQ(model::load("model.pt", options).error().code, Errc::not_found);
  options.op_libraries = {fs::path(CLEAVE_SOURCE_DIR) / "README.md"};
  const auto text = model::load("model.pt", options);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, Errc::unsupported);
  EXPECT_NE(text.error().message().find("README.md"), std::string::npos);
}

TEST_P(TorchScript, AnOperatorFromALibraryIsUsed) {
  namespace fs = std::filesystem;
  const fs::path library = fs::path(CLEAVE_OP_LIBRARY);
  ASSERT_TRUE(model::open_op_library(library));
  const auto module = with_operators(R"(
def forward(self, x: Tensor):
    y = ops.cleave_test.same(x * 2)
    z = torch.sigmoid(y)
    y.add_(1)
    return y + z
)");
  // It gives its argument's memory back and does not say so.
  const auto model = check(module, {"2x6"});
  EXPECT_GT(model->step_count(), 2u);
}

}  // namespace
}  // namespace cleave::test
