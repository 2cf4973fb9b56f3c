// Networks in which a copy made at the wrong place would change the results.
#include "lib/model/analysis.hpp"
#include "lib/model/convert.hpp"
#include "lib/model/lower.hpp"
#include "lib/model/plan.hpp"
#include "tests/model/on_device.hpp"

namespace cleave::test {
namespace {

bool refused_between(const model::Model& model, const std::string& after,
                     const std::string& before) {
  for (const auto& refused : model.refused_cuts()) {
    if (refused.op == after && model.steps()[refused.position].op == before)
      return true;
  }
  return false;
}

class Alias : public OnDevice {
 protected:
  // Cuts what can be cut, and compares the whole with libtorch's own run of the module on the CPU.
  std::shared_ptr<const model::Model> check(const std::string& source,
                                            const std::vector<std::string>& inputs = {
                                                "2x6"}) const {
    const auto module = script(source, {{"a", weights({6, 6})}});
    const auto model = lowered(module, inputs);
    const auto values = model->example_inputs(3);
    check_every_cut(*model, values);
    EXPECT_LT(relative_difference(run_whole(*model, values), forward(module, values)), tolerance());
    return model;
  }
};

INSTANTIATE_TEST_SUITE_P(Devices, Alias, testing::ValuesIn(devices()), device_name);

TEST_P(Alias, ACutBetweenAViewAndAWriteThroughItIsRefused) {
  // Both x and its view cross; relu_ on a copy of the view would not reach x. (The list keeps
  // libtorch from replacing relu_ by relu.)
  const auto model = check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    view = x[:, 0:3]
    both = [view, x]
    y = torch.matmul(both[1], self.a)
    torch.relu_(both[0])
    return torch.matmul(x, self.a) + y
)");
  EXPECT_TRUE(refused_between(*model, "aten::matmul", "aten::relu_") ||
              model->refused_cuts().empty());
  for (const auto& refused : model->refused_cuts())
    EXPECT_NE(refused.reason.find("share memory"), std::string::npos) << refused.reason;
}

TEST_P(Alias, BroadcastTensorsSharesMemoryThoughItsSchemaDeniesIt) {
  const auto model = check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    parts = torch.broadcast_tensors([x, x])
    y = torch.sigmoid(x)
    parts[0].mul_(3)
    return torch.matmul(x, self.a) + y + parts[1]
)");
  EXPECT_FALSE(model->refused_cuts().empty());
}

TEST_P(Alias, AtLeast2dSharesMemoryThoughItsSchemaDeniesIt) {
  const auto model = check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.atleast_2d(x)
    y = torch.sigmoid(x)
    same.mul_(3)
    return torch.matmul(x, self.a) + y + same
)");
  EXPECT_FALSE(model->refused_cuts().empty());
}

TEST_P(Alias, EinsumOfOneOperandSharesMemoryThoughItsSchemaDeniesIt) {
  const auto model = check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    turned = torch.einsum("ij->ji", [x])
    y = torch.sigmoid(x)
    turned.mul_(3)
    return torch.matmul(x, self.a) + y + turned.t()
)");
  EXPECT_FALSE(model->refused_cuts().empty());
}

TEST_P(Alias, DropoutInEvaluationPassesItsArgumentOn) {
  check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.dropout(x, 0.5, False)
    y = torch.sigmoid(x)
    same.mul_(3)
    return torch.matmul(x, self.a) + y + same
)");
  check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.feature_dropout(x, 0.5, False)
    y = torch.sigmoid(x)
    same.mul_(3)
    return torch.matmul(x, self.a) + y + same
)");
}

TEST_P(Alias, AViewThatReachesBeyondItsArgumentIsNotCutOff) {
  check(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    corner = x[0:1, 0:2]
    y = torch.sigmoid(corner)
    whole = torch.as_strided(corner, [2, 6], [6, 1], 0)
    return torch.matmul(whole, self.a) + y.sum()
)");
}

TEST_P(Alias, AListThatIsAppendedToCrossesAsItIs) {
  check(R"(
def forward(self, x):
    features = [x]
    for i in range(3):
        features.append(torch.relu(torch.matmul(features[-1], self.a)))
    return torch.cat(features, 1)
)");
}

TEST_P(Alias, TheInputItselfMayBeAnOutput) {
  check(R"(
def forward(self, x):
    return x, torch.matmul(x, self.a), x[0]
)");
}

TEST_P(Alias, APlanThatLibtorchsPassesSpoiltIsRefusedAtLoading) {
  // The two products differ, since x is changed between them through memory that atleast_2d does
  // not declare to share; common subexpression elimination makes them one.
  const auto module = script(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    same = torch.atleast_2d(x)
    y = torch.matmul(x, self.a)
    same.mul_(3)
    return torch.matmul(x, self.a) + y + same
)",
                             {{"a", weights({6, 6})}});
  model::LoadOptions options;
  options.device = device();
  options.inputs = {*model::parse_input_spec("2x6")};
  const auto model = model::from_module(module, "network", options);
  if (model) {
    const auto inputs = (*model)->example_inputs(3);
    EXPECT_LT(relative_difference(run_whole(**model, inputs), forward(module, inputs)),
              tolerance());
  } else {
    EXPECT_EQ(model.error().code, core::Errc::unsupported);
    EXPECT_NE(model.error().message().find("in place"), std::string::npos);
  }
}

TEST_P(Alias, WritingIntoTheWeightsIsRefusedAtLoading) {
  const auto module = script(R"(
def forward(self, x):
    same = torch.atleast_2d(self.a)
    same.add_(1)
    return torch.matmul(x, same)
)",
                             {{"a", weights({6, 6})}});
  model::LoadOptions options;
  options.device = device();
  options.inputs = {*model::parse_input_spec("2x6")};
  const auto model = model::from_module(module, "network", options);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, core::Errc::unsupported);
}

// The analysis itself, on a plan whose in-place operators were left alone.
TEST_P(Alias, TheAnalysisSeesWhatEachCutWouldBreak) {
  const auto module = script(R"(
def forward(self, x):
    x = torch.matmul(x, self.a)
    view = x[:, 0:3]
    y = torch.matmul(x, self.a)
    torch.relu_(view)
    return torch.matmul(x, self.a) + y
)",
                             {{"a", weights({6, 6})}});
  const auto graph = model::lower(module);
  ASSERT_TRUE(graph) << graph.error().message();
  auto made = model::plan_aten(*graph);
  ASSERT_TRUE(made) << made.error().message();
  const model::Plan plan = place(*std::move(made));
  const auto analysis = model::analyse(plan, place({at::randn({2, 6})}));
  ASSERT_TRUE(analysis) << analysis.error().message();
  for (std::uint32_t position = 1; position < plan.steps.size(); ++position) {
    const auto& before = plan.steps[position - 1];
    const auto& after = plan.steps[position];
    SCOPED_TRACE(before.op + " | " + after.op);
    // x and view are both alive from the slice to relu_.
    const bool both_alive = before.op == "aten::slice" || after.op == "aten::relu_";
    EXPECT_EQ(!analysis->positions[position].refused.empty(), both_alive)
        << analysis->positions[position].refused;
  }
}

}  // namespace
}  // namespace cleave::test
