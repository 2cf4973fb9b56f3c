#include "tests/model/split_support.hpp"

namespace cleave::test {
namespace {

TEST(Cut, AChainGivesTheWholeBitForBit) {
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
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), 1e-5);
}

TEST(Cut, AResidualSumSurvivesInPlaceOperators) {
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
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), 1e-5);
}

TEST(Cut, WritingThroughAViewIsRefusedOrSafe) {
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
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), 1e-5);
}

TEST(Cut, TheInputsAreNeverChanged) {
  const auto module = script(R"(
def forward(self, x):
    x.add_(1)
    return torch.relu_(x) * 2
)");
  const auto model = lowered(module, {"2x6"});
  const auto inputs = model->example_inputs();
  check_every_cut(*model, inputs);
  EXPECT_LT(relative_difference(run_whole(*model, inputs), forward(module, inputs)), 1e-5);
}

}  // namespace
}  // namespace cleave::test
