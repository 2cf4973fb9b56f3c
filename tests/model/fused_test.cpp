// Fused plans against plans of ATen's own operators: two implementations of the same network.
#include "lib/model/dnnl.hpp"
#include "tests/model/on_device.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;
using model::PlanKind;

core::Tensor zeros(core::DType type, std::vector<std::int64_t> sizes) {
  core::Tensor tensor = core::empty_tensor(type, std::move(sizes));
  std::memset(tensor.data(), 0, tensor.nbytes());
  return tensor;
}

struct Sample {
  std::string name, source;
  std::map<std::string, at::Tensor> parameters;
  std::string input;
};

std::vector<Sample> samples() {
  const auto w = [](std::vector<std::int64_t> sizes, std::uint64_t seed) {
    return weights(std::move(sizes), seed);
  };
  return {
      {"residual_block",
       R"(
def forward(self, x):
    x = torch.conv2d(x, self.c, None, [1, 1], [1, 1])
    y = torch.relu(torch.conv2d(x, self.a, self.b, [1, 1], [1, 1]))
    y = torch.conv2d(y, self.c, None, [1, 1], [1, 1])
    return torch.relu(y + x)
)",
       {{"a", w({16, 16, 3, 3}, 1)}, {"b", w({16}, 2)}, {"c", w({16, 16, 3, 3}, 3)}},
       "2x16x14x14"},
      {"two_branches_meet",
       R"(
def forward(self, x):
    y = torch.conv2d(x, self.a, self.b, [2, 2], [1, 1])
    z = torch.conv2d(x, self.c, None, [2, 2])
    return torch.relu(torch.add(z, y))
)",
       {{"a", w({24, 7, 3, 3}, 1)}, {"b", w({24}, 2)}, {"c", w({24, 7, 1, 1}, 3)}},
       "1x7x15x13"},
      {"depthwise_dilated_and_gated",
       R"(
def forward(self, x):
    x = torch.silu(torch.conv2d(x, self.a, self.b, [1, 1], [2, 2], [2, 2], 12))
    gate = torch.adaptive_avg_pool2d(x, [1, 1])
    gate = torch.sigmoid(torch.conv2d(torch.relu(torch.conv2d(gate, self.c)), self.d))
    return torch.conv2d(x * gate, self.e).flatten(1)
)",
       {{"a", w({12, 1, 3, 3}, 1)},
        {"b", w({12}, 2)},
        {"c", w({4, 12, 1, 1}, 3)},
        {"d", w({12, 4, 1, 1}, 4)},
        {"e", w({5, 12, 1, 1}, 5)}},
       "1x12x11x11"},
      {"pools",
       R"(
def forward(self, x):
    x = torch.conv2d(x, self.a, self.b)
    a = torch.max_pool2d(x, [3, 3], [2, 2], [1, 1], [1, 1], True)
    b = torch.avg_pool2d(x, [3, 3], [2, 2], [1, 1], False, False)
    c = torch.avg_pool2d(x, [2, 2])
    d = torch.max_pool2d(x, [2, 2], [2, 2], [0, 0], [2, 2])
    return a.mean([2, 3]), b, c, d
)",
       {{"a", w({16, 3, 2, 2}, 1)}, {"b", w({16}, 2)}},
       "1x3x18x17"},
      {"branches_joined",
       R"(
def forward(self, x):
    a = torch.relu(torch.conv2d(x, self.a))
    b = torch.relu(torch.conv2d(torch.relu(torch.conv2d(x, self.b)), self.c, None, [1, 1], [1, 1]))
    c = torch.conv2d(torch.max_pool2d(x, [3, 3], [1, 1], [1, 1]), self.a)
    return torch.conv2d(torch.cat([a, b, c], 1), self.d)
)",
       {{"a", w({8, 16, 1, 1}, 1)},
        {"b", w({4, 16, 1, 1}, 2)},
        {"c", w({16, 4, 3, 3}, 3)},
        {"d", w({6, 32, 1, 1}, 4)}},
       "1x16x9x9"},
      {"a_view_of_what_a_kernel_made",
       R"(
def forward(self, x):
    x = torch.conv2d(x, self.a, None, [1, 1], [1, 1])
    n, c, h, w = x.size()
    x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
    x = torch.conv2d(x, self.b)
    return x.permute(0, 2, 3, 1), x.view(n, -1)
)",
       {{"a", w({16, 16, 3, 3}, 1)}, {"b", w({16, 16, 1, 1}, 2)}},
       "2x16x8x8"},
      {"perceptron",
       R"(
def forward(self, x):
    y = torch.gelu(torch.linear(x, self.a, self.b))
    y = torch.linear(y, self.c, self.d) + x
    return torch.linear(torch.layer_norm(y, [20]), self.e)
)",
       {{"a", w({36, 20}, 1)},
        {"b", w({36}, 2)},
        {"c", w({20, 36}, 3)},
        {"d", w({20}, 4)},
        {"e", w({3, 20}, 5)}},
       "2x5x20"},
      {"attention",
       R"(
def forward(self, x):
    n, rows, _ = x.size()
    y = torch.linear(x, self.a, self.b).view(n, rows, 3, 4, 8).permute(2, 0, 3, 1, 4)
    q, k, v = y[0], y[1], y[2]
    weights = torch.softmax(torch.matmul(q * 0.35, k.transpose(-2, -1)), -1)
    y = torch.matmul(weights, v).transpose(1, 2).reshape(n, rows, 32)
    z = torch.bmm(y, y.transpose(1, 2))
    return torch.linear(y, self.c) + x, torch.softmax(z.transpose(1, 2), -1), torch.matmul(z, x[0])
)",
       {{"a", w({96, 32}, 1)}, {"b", w({96}, 2)}, {"c", w({32, 32}, 3)}},
       "2x7x32"},
      {"activations",
       R"(
def forward(self, x):
    a = torch.hardtanh(torch.conv2d(x, self.a), -0.5, 0.7)
    b = torch.leaky_relu(torch.conv2d(x, self.a), 0.1)
    c = torch.hardswish(torch.conv2d(x, self.a))
    d = torch.elu(torch.conv2d(x, self.a), 0.8)
    e = torch.tanh(torch.conv2d(x, self.a))
    f = torch.gelu(torch.conv2d(x, self.a), approximate="tanh")
    g = torch.clamp(torch.conv2d(x, self.a), 0.0, 6.0)
    return a, b, c, d, e, f, g
)",
       {{"a", w({16, 16, 1, 1}, 1)}},
       "1x16x5x5"},
      {"changes_in_place",
       R"(
def forward(self, x):
    x = torch.conv2d(x, self.a)
    y = x[:, 0:4]
    y.add_(1)
    return torch.conv2d(x, self.b), y
)",
       {{"a", w({16, 8, 1, 1}, 1)}, {"b", w({8, 16, 1, 1}, 2)}},
       "1x8x6x6"},
  };
}

class Fused : public DeviceTest,
              public testing::WithParamInterface<std::tuple<Sample, std::string>> {
 protected:
  Fused() : DeviceTest(std::get<1>(GetParam())) {}

  static std::shared_ptr<const model::Model> load(PlanKind plan, const std::string& device) {
    const Sample& sample = std::get<0>(GetParam());
    return test::lowered(script(sample.source, sample.parameters), {sample.input}, true, plan,
                         device);
  }
};

TEST_P(Fused, ComputesWhatItsOperatorsDo) {
  const auto fused = load(PlanKind::fused, device()), unfused = load(PlanKind::unfused, "cpu");
  ASSERT_TRUE(fused->set_threads(1));
  for (const std::uint64_t seed : {1, 2}) {
    const auto inputs = fused->example_inputs(seed);
    EXPECT_LT(relative_difference(run_whole(*fused, inputs), run_whole(*unfused, inputs)),
              tolerance());
  }
}

TEST_P(Fused, CanBeCutAnywhere) {
  const auto fused = load(PlanKind::fused, device());
  EXPECT_GE(check_every_cut(*fused, fused->example_inputs(3)), 2u);
}

TEST_P(Fused, ComputesTheSameOnTwoThreads) {
  const auto fused = load(PlanKind::fused, device());
  const auto inputs = fused->example_inputs(4);
  ASSERT_TRUE(fused->set_threads(1));
  const auto alone = run_whole(*fused, inputs);
  ASSERT_TRUE(fused->set_threads(2));
  EXPECT_LT(relative_difference(run_whole(*fused, inputs), alone), tolerance());
  ASSERT_TRUE(fused->set_threads(1));
  EXPECT_TRUE(bit_equal(run_whole(*fused, inputs), alone));
}

INSTANTIATE_TEST_SUITE_P(Samples, Fused,
                         testing::Combine(testing::ValuesIn(samples()),
                                          testing::ValuesIn(devices())),
                         [](const auto& entry) {
                           return std::get<0>(entry.param).name + "_" + std::get<1>(entry.param);
                         });

std::shared_ptr<const model::Model> block(const fs::path& cache) {
  const Sample sample = samples().front();
  model::LoadOptions options;
  options.inputs = {*model::parse_input_spec(sample.input)};
  options.plan_cache = cache;
  auto loaded = model::from_module(script(sample.source, sample.parameters), "block", options);
  if (!loaded)
    throw std::runtime_error(loaded.error().message());
  return *loaded;
}

TEST(FusedPlan, ASumAndAnActivationBecomePartOfTheConvolution) {
  const auto model = block("");
  ASSERT_EQ(model->steps().size(), 3u);
  EXPECT_EQ(model->steps()[0].op, "aten::conv2d");
  EXPECT_EQ(model->steps()[1].op, "aten::conv2d+relu");
  EXPECT_EQ(model->steps()[1].parameters, 16 * 16 * 9 + 16);
  EXPECT_EQ(model->steps()[2].op, "aten::conv2d+add+relu");
}

TEST(FusedPlan, WhatIsFusedChangesNothingAboutTheWeightsHash) {
  const Sample sample = samples().front();
  const auto module = script(sample.source, sample.parameters);
  const auto fused = lowered(module, {sample.input}, true, PlanKind::fused);
  const auto unfused = lowered(module, {sample.input}, true, PlanKind::unfused);
  EXPECT_EQ(fused->fingerprint().weights, unfused->fingerprint().weights);
  EXPECT_NE(fused->fingerprint().structure, unfused->fingerprint().structure);
}

TEST(FusedPlan, RunsOnSeveralThreadsAtOnce) {
  const auto model = block("");
  ASSERT_TRUE(model->set_threads(1));
  const auto inputs = model->example_inputs();
  const auto whole = run_whole(*model, inputs);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (int& count : wrong) {
    threads.emplace_back([&] {
      if (!model->set_threads(1))
        ++count;
      for (int i = 0; i < 200; ++i) count += !bit_equal(run_whole(*model, inputs), whole);
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : wrong) EXPECT_EQ(count, 0);
}

class PlanCache : public testing::Test {
 protected:
  PlanCache() { fs::create_directories(folder_); }
  ~PlanCache() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path());
    return found;
  }
  static std::string read(const fs::path& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::vector<std::string> kernels(const model::Model& model) {
    std::vector<std::string> names;
    for (const auto& step : model.steps()) names.push_back(step.kernel);
    return names;
  }
  const fs::path folder_ =
      fs::temp_directory_path() / ("cleave-plans-" + std::to_string(::getpid()));
};

TEST_F(PlanCache, ChoicesAreKeptAndTakenInsteadOfMeasuring) {
  block(folder_);
  ASSERT_EQ(files().size(), 1u);
  // A choice that no measurement would make shows that the file is what counts.
  std::string text = read(files()[0]);
  EXPECT_NE(text.find("onednn"), std::string::npos);
  const auto at = text.find('\n', text.find('\n') + 1) + 1;
  text = text.substr(0, at) + "aten plain\naten plain\naten plain\nend\n";
  std::ofstream(files()[0]) << text;
  EXPECT_EQ(kernels(*block(folder_)), (std::vector<std::string>(3, "aten plain")));
  EXPECT_EQ(read(files()[0]), text);
}

TEST_F(PlanCache, AFileThatIsNotWhatItShouldBeIsWrittenAnew) {
  block(folder_);
  ASSERT_EQ(files().size(), 1u);
  const std::string good = read(files()[0]);
  const auto at = good.find('\n', good.find('\n') + 1) + 1;
  for (const std::string& bad :
       {std::string(), good.substr(0, at), good.substr(0, good.size() / 2),
        std::string("garbage\n"),
        good.substr(0, at) + "no such kernel\nno such kernel\nno such kernel\nend\n",
        good.substr(0, at) + "end\n"}) {
    std::ofstream(files()[0]) << bad;
    const auto model = block(folder_);
    EXPECT_LT(relative_difference(run_whole(*model, model->example_inputs()),
                                  run_whole(*block(""), model->example_inputs())),
              1e-5);
    EXPECT_NE(read(files()[0]), bad);
    EXPECT_EQ(read(files()[0]).substr(0, at), good.substr(0, at));
  }
}

TEST_F(PlanCache, EveryChoiceComputesTheSame) {
  const auto expected = block("");
  const auto inputs = expected->example_inputs(5);
  const auto whole = run_whole(*expected, inputs);
  block(folder_);
  ASSERT_EQ(files().size(), 1u);
  const std::string text = read(files()[0]);
  const auto at = text.find('\n', text.find('\n') + 1) + 1;
  const std::vector<std::string> ways = {"direct channels_last", "direct blocked",
                                         "winograd blocked", "aten plain"};
  for (const auto& a : ways) {
    for (const auto& b : ways) {
      for (const auto& c : ways) {
        SCOPED_TRACE(a + ", " + b + ", " + c);
        std::ofstream(files()[0]) << text.substr(0, at) << a << '\n' << b << '\n' << c << "\nend\n";
        std::shared_ptr<const model::Model> model;
        EXPECT_NO_THROW(model = block(folder_));
        if (!model)
          continue;
        EXPECT_LT(relative_difference(run_whole(*model, inputs), whole), 1e-5);
        EXPECT_GE(check_every_cut(*model, inputs), 3u);
      }
    }
  }
}

// With blocked kernels wherever there are any, whatever this machine finds faster.
TEST_F(PlanCache, BlockedKernelsMeetTensorsThatCannotLieInBlocks) {
  const auto network = [&](PlanKind plan) {
    model::LoadOptions options;
    options.plan = plan;
    options.plan_cache = folder_;
    options.all_cuts = true;
    options.inputs = {*model::parse_input_spec("2x16x6x6"), *model::parse_input_spec("int:0"),
                      *model::parse_input_spec("int:0")};
    auto model = model::from_module(
        script(R"(
def forward(self, x, channels: int, images: int):
    y = torch.relu(torch.conv2d(x, self.a, None, [1, 1], [1, 1]))
    y = torch.relu(torch.conv2d(y, self.a, None, [1, 1], [1, 1]) + torch.tanh(x)[:, channels:])
    y = torch.max_pool2d(y[images:], [2, 2])
    return torch.conv2d(torch.max_pool2d(y, [2, 2]), self.b)
)",
               {{"a", weights({16, 16, 3, 3}, 1)}, {"b", weights({16, 16, 1, 1}, 2)}}),
        "network", options);
    EXPECT_TRUE(model) << model.error().message();
    return *model;
  };
  const auto expected = network(PlanKind::unfused);
  const auto chosen = network(PlanKind::fused);
  const auto steps = chosen->steps();
  ASSERT_EQ(files().size(), 1u);
  std::istringstream lines(read(files()[0]));
  std::string text, line;
  for (std::size_t i = 0; std::getline(lines, line); ++i) {
    const std::size_t step = i - 2;  // behind two lines that tell what the file is of
    if (i >= 2 && step < steps.size() && !line.empty()) {
      const std::string& op = steps[step].op;
      line = op.starts_with("aten::conv2d")       ? "direct blocked"
             : op.starts_with("aten::max_pool2d") ? "blocked"
                                                  : line;
    }
    text += line + '\n';
  }
  std::ofstream(files()[0]) << text;
  const auto model = network(PlanKind::fused);
  ASSERT_EQ(std::count_if(model->steps().begin(), model->steps().end(),
                          [](const auto& s) { return s.kernel.ends_with("blocked"); }),
            5);
  for (const std::int64_t channels : {0, 15}) {
    for (const std::int64_t images : {0, 1, 2}) {
      SCOPED_TRACE(std::to_string(channels) + ", " + std::to_string(images));
      core::Values inputs = model->example_inputs(3);
      inputs[1] = core::Value(channels);
      inputs[2] = core::Value(images);
      const auto whole = run_whole(*model, inputs), unfused = run_whole(*expected, inputs);
      ASSERT_EQ(tensors(whole)[0].sizes, tensors(unfused)[0].sizes);
      if (images < 2) {
        EXPECT_LT(relative_difference(whole, unfused), 1e-5);
        EXPECT_GE(check_every_cut(*model, inputs), 3u);
      }
    }
  }
  // What a peer may send in place of such values: anything.
  const auto last = model->cuts().back().id;
  for (const core::Cut& cut : model->cuts()) {
    const auto across = run(*model, model->cuts().front().id, cut.id, model->example_inputs(3));
    for (std::size_t i = 0; i < across.size(); ++i) {
      for (const std::vector<std::int64_t>& sizes : std::vector<std::vector<std::int64_t>>{
               {1, 1, 6, 6}, {1, 24, 6, 6}, {2, 1, 6, 6, 16}, {0, 16, 6, 6}, {16}, {1, 2, 3}}) {
        for (const auto type : {core::DType::float32, core::DType::float64, core::DType::int64}) {
          core::Values changed = across;
          changed[i] = core::Value(zeros(type, sizes));
          (void)model->run(cut.id, last, changed);  // an error or a result
        }
      }
    }
  }
}

TEST(FusedPlan, TensorsToBeNegatedByTheirReaderAreNegated) {
  const auto module = script(R"(
def forward(self, x):
    y = torch._neg_view(x)
    z = torch.conv2d(y, self.a)
    return z, torch.matmul(y, y.transpose(2, 3)), torch.softmax(y, -1), torch.linear(y, self.b)
)",
                             {{"a", weights({16, 16, 1, 1}, 1)}, {"b", weights({5, 6}, 2)}});
  const auto fused = lowered(module, {"1x16x6x6"}, true, PlanKind::fused);
  const auto unfused = lowered(module, {"1x16x6x6"}, true, PlanKind::unfused);
  const auto inputs = fused->example_inputs(2);
  EXPECT_LT(relative_difference(run_whole(*fused, inputs), run_whole(*unfused, inputs)), 1e-5);
  EXPECT_GE(check_every_cut(*fused, inputs), 3u);
}

// Multi-head attention gives an undefined tensor in place of weights that nobody wants.
TEST(FusedPlan, UndefinedTensorsPass) {
  const auto module = script(R"(
def forward(self, x):
    y = torch.conv2d(x, self.a).flatten(2).transpose(1, 2)
    z, w = torch._native_multi_head_attention(y, y, y, 16, 4, self.b, self.c, self.d, self.e, None, False)
    return torch.linear(z, self.d)
)",
                             {{"a", weights({16, 8, 1, 1}, 1)},
                              {"b", weights({48, 16}, 2)},
                              {"c", weights({48}, 3)},
                              {"d", weights({16, 16}, 4)},
                              {"e", weights({16}, 5)}});
  const auto fused = lowered(module, {"2x8x4x4"}, true, PlanKind::fused);
  const auto inputs = fused->example_inputs(2);
  const auto unfused = lowered(module, {"2x8x4x4"}, true, PlanKind::unfused);
  EXPECT_LT(relative_difference(run_whole(*fused, inputs), run_whole(*unfused, inputs)), 1e-5);
  EXPECT_GE(check_every_cut(*fused, inputs), 3u);
}

TEST(FusedPlan, AnElementTypeThatTheNetworkDoesNotTakeIsAnErrorInAFusedPlanToo) {
  const auto model =
      lowered(script("def forward(self, x):\n    return torch.linear(x[0:1], self.a)\n",
                     {{"a", weights({5, 16}, 1)}}),
              {"4x16"}, true, PlanKind::fused);
  const auto cuts = model->cuts();
  ASSERT_GE(cuts.size(), 3u);
  const auto done =
      model->run(cuts[1].id, cuts.back().id, {core::Value(zeros(core::DType::int64, {1, 16}))});
  EXPECT_FALSE(done);
}

TEST_F(PlanCache, AFolderThatCannotBeWrittenIsNoError) {
  const fs::path file = folder_ / "file";
  std::ofstream(file) << "in the way";
  EXPECT_NE(block(file / "plans"), nullptr);
}

// Direct summation, element by element.
std::vector<float> convolve(const std::vector<float>& x, const model::dnn::Sizes& in,
                            const std::vector<float>& w, const model::dnn::ConvolutionForm& form,
                            const model::dnn::Sizes& out) {
  std::vector<float> y(static_cast<std::size_t>(out[0] * out[1] * out[2] * out[3]));
  const auto& k = form.weights;
  const std::int64_t per_group = k[0] / form.groups;
  for (std::int64_t o = 0; o < out[1]; ++o)
    for (std::int64_t i = 0; i < out[2]; ++i)
      for (std::int64_t j = 0; j < out[3]; ++j) {
        double sum = 0;
        for (std::int64_t c = 0; c < k[1]; ++c)
          for (std::int64_t u = 0; u < k[2]; ++u)
            for (std::int64_t v = 0; v < k[3]; ++v) {
              const std::int64_t h = i * form.stride[0] - form.padding[0] + u * form.dilation[0];
              const std::int64_t l = j * form.stride[1] - form.padding[1] + v * form.dilation[1];
              if (h < 0 || l < 0 || h >= in[2] || l >= in[3])
                continue;
              const std::int64_t channel = o / per_group * k[1] + c;
              sum += static_cast<double>(x[(channel * in[2] + h) * in[3] + l]) *
                     w[((o * k[1] + c) * k[2] + u) * k[3] + v];
            }
        y[(o * out[2] + i) * out[3] + j] = static_cast<float>(sum);
      }
  return y;
}

class Dnn : public testing::TestWithParam<std::tuple<std::int64_t, bool>> {};

TEST_P(Dnn, EveryWayToConvolveGivesTheDirectSum) {
  using namespace model::dnn;
  const auto [size, sum] = GetParam();
  const Sizes in = {1, 32, size, size - 1};
  ConvolutionForm form;
  form.weights = {32, 32, 3, 3};
  form.padding = {1, 1};
  form.sum = sum;
  if (sum)
    form.activation.kind = Activation::Kind::relu;
  const auto area = static_cast<std::size_t>(size * (size - 1));
  std::vector<float> x(32 * area), w(32 * 32 * 9), other(32 * area);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 17) / 17 - 0.4F;
    other[i] = static_cast<float>(i % 29) - 14;
  }
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = static_cast<float>(i % 13) / 13 - 0.5F;
  auto expected = convolve(x, in, w, form, in);
  for (std::size_t i = 0; sum && i < expected.size(); ++i)
    expected[i] = std::max(0.0F, expected[i] + other[i]);
  int tried = 0;
  for (const auto method : {ConvolutionMethod::direct, ConvolutionMethod::winograd}) {
    for (const auto layout : {Layout::plain, Layout::channels_last, Layout::blocked}) {
      const auto kernel = convolution(form, method, layout, layout, in, nullptr);
      if (!kernel)
        continue;
      ++tried;
      SCOPED_TRACE(to_string(layout) +
                   (method == ConvolutionMethod::winograd ? " winograd" : " direct"));
      const auto packed = kernel->pack(w.data());
      std::vector<float> from(x.size()), to(expected.size()), y(expected.size());
      reorder(in, x.data(), Layout::plain, from.data(), layout);
      reorder(in, other.data(), Layout::plain, to.data(), layout);
      std::vector<std::byte> scratch(kernel->scratch_bytes() + 64);
      void* aligned = scratch.data();
      std::size_t space = scratch.size();
      std::align(64, kernel->scratch_bytes(), aligned, space);
      kernel->run(from.data(), packed.get(), nullptr, to.data(), aligned);
      reorder(kernel->destination(), to.data(), layout, y.data(), Layout::plain);
      float worst = 0;
      for (std::size_t i = 0; i < y.size(); ++i)
        worst = std::max(worst, std::abs(y[i] - expected[i]));
      EXPECT_LT(worst, 2e-3);
      if (method == ConvolutionMethod::direct) {
        EXPECT_EQ(unpack(*packed), w);
      }
    }
  }
  EXPECT_GE(tried, 3);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Dnn,
                         testing::Combine(testing::Values(10, 14, 28, 57), testing::Bool()));

}  // namespace
}  // namespace cleave::test
