#include "tests/model/on_device.hpp"

namespace cleave::test {
namespace {

class Cut : public OnDevice {
 protected:
  // Every cut of a small network, and the whole against libtorch's own run on the CPU.
  void check(const torch::jit::Module& module, const std::vector<std::string>& shapes) const {
    const auto model = lowered(module, shapes);
    const auto inputs = model->example_inputs(3);
    EXPECT_GT(check_every_cut(*model, inputs), 2u);
    EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, Cut, testing::ValuesIn(devices()), device_name);

TEST_P(Cut, AChainGivesTheWholeBitForBit) {
  const auto module = script(
      R"(
def forward(self, x):
    x = torch.conv2d(x, self.a, None, [1, 1], [1, 1])
    x = torch.relu(x)
    x = torch.conv2d(x, self.b, None, [2, 2], [1, 1])
    x = torch.flatten(torch.relu(x), 1)
    return torch.matmul(x, self.c)
)",
      {{"a", weights({4, 3, 3, 3})}, {"b", weights({8, 4, 3, 3})}, {"c", weights({8 * 4 * 4, 5})}});
  const auto model = lowered(module, {"1x3x8x8"});
  const auto inputs = model->example_inputs();
  EXPECT_EQ(check_every_cut(*model, inputs), model->step_count() + 1);
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
}

TEST_P(Cut, AResidualSumSurvivesInPlaceOperators) {
  const auto module = script(R"(
def forward(self, x):
    identity = torch.conv2d(x, self.a, None, [1, 1], [1, 1])
    y = torch.conv2d(identity, self.b, None, [1, 1], [1, 1])
    y = torch.relu_(y)
    y = torch.conv2d(y, self.b, None, [1, 1], [1, 1])
    y += identity
    y = torch.relu_(y)
    z = y.mul_(2)
    return z + y
)",
                             {{"a", weights({4, 3, 3, 3})}, {"b", weights({4, 4, 3, 3})}});
  const auto model = lowered(module, {"1x3x8x8"});
  const auto inputs = model->example_inputs();
  EXPECT_GE(check_every_cut(*model, inputs), 4u);
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
}

TEST_P(Cut, WritingThroughAViewIsRefusedOrSafe) {
  const auto module = script(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    view = x[:, 0:3]
    y = torch.matmul(x, self.a)
    torch.relu_(view)
    return torch.matmul(x, self.a) + y, view
)",
                             {{"a", weights({6, 6})}});
  const auto model = lowered(module, {"2x6"});
  const auto inputs = model->example_inputs();
  check_every_cut(*model, inputs);
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
}

TEST_P(Cut, TheInputsAreNeverChanged) {
  const auto module = script(R"(
def forward(self, x):
    x.add_(1)
    return torch.relu_(x) * 2
)");
  const auto model = lowered(module, {"2x6"});
  const auto inputs = model->example_inputs();
  check_every_cut(*model, inputs);
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
}

TEST_P(Cut, BranchesMeetInAConcatenation) {
  check(script(R"(
def forward(self, x):
    a = torch.relu(torch.conv2d(x, self.a))
    b = torch.max_pool2d(torch.conv2d(x, self.a), [1, 1])
    c = torch.sigmoid(x[:, :, 1:, 1:])
    return torch.cat([a, b, c], 1)
)",
               {{"a", weights({4, 3, 2, 2})}}),
        {"1x3x8x8"});
}

TEST_P(Cut, PartsOfAListCross) {
  check(script(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    q, k, v = torch.chunk(x, 3, 1)
    parts = torch.split(x, 2, 1)
    y = torch.matmul(q, k.t())
    return torch.matmul(y, v) + parts[0] * parts[2]
)",
               {{"a", weights({6, 6})}}),
        {"4x6"});
}

TEST_P(Cut, NumbersTuplesAndStringsCross) {
  check(script(R"(
def forward(self, x):
    n, c = x.shape
    mode = "bilinear"
    if n > 100:
        mode = "nearest"
    pair = (x * 2, n)
    if float(x.sum()) > 1000.0:
        pair = (x * 3, c)
    x = torch.matmul(x, self.a)
    y = x.view(n * 2, c // 2).sum(1)
    if mode == "bilinear":
        y = y * pair[1]
    return torch.cat([y, pair[0].flatten()])
)",
               {{"a", weights({6, 6})}}),
        {"4x6"});
}

TEST_P(Cut, ControlFlowThatDependsOnDataIsOneStep) {
  const auto module = script(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    if bool(x.sum() > 0):
        x = torch.relu(torch.matmul(x, self.a))
    else:
        x = torch.sigmoid(x)
    i = 0
    while bool(x.abs().sum() > 1.0) and i < 5:
        x = torch.matmul(x, self.a) * 0.5
        i += 1
    y = torch.matmul(x, self.a)
    return y + i
)",
                             {{"a", weights({6, 6})}});
  check(module, {"4x6"});
  // Not only with the inputs it was loaded with.
  const auto model = lowered(module, {"4x6"});
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto inputs = model->example_inputs(seed);
    EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), tolerance());
  }
}

TEST_P(Cut, SeveralInputsAndATupleOfOutputs) {
  check(script(R"(
def forward(self, x, ids, mask):
    e = torch.embedding(self.a, ids)
    unused = torch.matmul(e, self.a)
    y = torch.matmul(e, x)
    masked = y.masked_fill(mask, 0.0)
    return masked, (e, ids + 1), {"mask": mask}
)",
               {{"a", weights({6, 6})}}),
        {"6x6", "5:int64", "5x6:bool"});
}

TEST_P(Cut, ChannelsLastStaysChannelsLast) {
  const auto module = script(R"(
def forward(self, x):
    x = x.contiguous(memory_format=2)
    x = torch.conv2d(x, self.a, None, [1, 1], [1, 1])
    x = torch.relu(x)
    x = torch.conv2d(x, self.b, None, [1, 1], [1, 1])
    return x
)",
                             {{"a", weights({8, 3, 3, 3})}, {"b", weights({8, 8, 3, 3})}});
  check(module, {"1x3x8x8"});
  const auto model = lowered(module, {"1x3x8x8"});
  const auto& cut = model->cuts()[2];
  const auto across = run(*model, model->cuts()[0].id, cut.id, model->example_inputs());
  ASSERT_EQ(across.size(), 1u);
  EXPECT_EQ(across[0].tensor()->strides.at(1), 1) << "after " << cut.op;
}

TEST_P(Cut, NormalisationIsFoldedWithoutChangingTheResult) {
  at::manual_seed(5);
  torch::jit::Module module("Network");
  module.register_parameter("w", weights({8, 3, 3, 3}), false);
  module.register_parameter("scale", at::rand({8}) + 0.5, false);
  module.register_parameter("shift", at::randn({8}), false);
  module.register_buffer("mean", at::randn({8}));
  module.register_buffer("var", at::rand({8}) + 0.5);
  module.define(R"(
def forward(self, x):
    x = torch.conv2d(x, self.w)
    x = torch.batch_norm(x, self.scale, self.shift, self.mean, self.var, False, 0.1, 1e-5, True)
    return torch.relu(x)
)");
  check(module, {"1x3x8x8"});
  const auto model = lowered(module, {"1x3x8x8"});
  EXPECT_EQ(model->step_count(), 2u);
  EXPECT_EQ(model->parameter_count(), 8 * 3 * 3 * 3 + 8 + 8);
}

TEST_P(Cut, BytesCountAStorageOnceAndAViewByItself) {
  const auto model = lowered(script(R"(
def forward(self, x):
    y = torch.matmul(x, self.a)
    half = y[:, 0:3]
    z = torch.sigmoid(x)
    return half + z[:, 0:3], y.sum()
)",
                                    {{"a", weights({6, 6})}}),
                             {"4x6"});
  const core::Cut* with_both = nullptr;
  const core::Cut* with_half = nullptr;
  for (const auto& cut : model->cuts()) {
    if (cut.op == "aten::sigmoid")
      with_both = &cut;
  }
  ASSERT_NE(with_both, nullptr);
  const auto across = run(*model, model->cuts().front().id, with_both->id, model->example_inputs());
  // y and its half share one storage of 4x6; z is another.
  ASSERT_EQ(tensors(across).size(), 3u);
  EXPECT_EQ(with_both->bytes.count(), 2 * 4 * 6 * sizeof(float));

  const auto viewed = lowered(script(R"(
def forward(self, x):
    half = torch.matmul(x, self.a)[:, 0:3]
    return torch.sigmoid(half)
)",
                                     {{"a", weights({6, 6})}}),
                              {"4x6"});
  for (const auto& cut : viewed->cuts()) {
    if (cut.op == "aten::slice")
      with_half = &cut;
  }
  ASSERT_NE(with_half, nullptr);
  EXPECT_EQ(with_half->bytes.count(), 4 * 3 * sizeof(float));
}

TEST_P(Cut, PlacesWhereNothingIsComputedAreListedOnce) {
  const auto module = script(R"(
def forward(self, x):
    x = torch.relu(torch.matmul(x, self.a))
    n = x.size(0)
    x = x.view(n, 2, 3).transpose(1, 2).reshape(n, 6)
    return torch.matmul(x, self.a)
)",
                             {{"a", weights({6, 6})}});
  const auto all = lowered(module, {"4x6"}, /*all_cuts=*/true);
  const auto listed = lowered(module, {"4x6"}, /*all_cuts=*/false);
  EXPECT_EQ(all->cuts().size(), all->step_count() + 1);
  EXPECT_LT(listed->cuts().size(), all->cuts().size());
  EXPECT_EQ(listed->cuts().front().position, 0u);
  EXPECT_EQ(listed->cuts().back().position, listed->step_count());
  EXPECT_EQ(listed->fingerprint(), all->fingerprint());
  // A place that is not listed is still a place.
  for (const auto& cut : all->cuts())
    EXPECT_TRUE(listed->run(all->cuts().front().id, cut.id, listed->example_inputs()));
}

}  // namespace
}  // namespace cleave::test
