// Files that are not whole, not models, or do not say what they need.
#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>

#include <unistd.h>

#include <filesystem>
#include <random>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;
using core::Errc;

class ModelFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("cleave-model-file-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
    const auto saved =
        model::save_module(network(1), {*model::parse_input_spec("1x3x8x8")}, whole());
    ASSERT_TRUE(saved) << saved.error().message();
  }
  void TearDown() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  static torch::jit::Module network(std::uint64_t seed) {
    return script(R"(
def forward(self, x):
    x = torch.relu(torch.conv2d(x, self.a, None, [1, 1], [1, 1]))
    return torch.matmul(torch.flatten(x, 1), self.b)
)",
                  {{"a", weights({4, 3, 3, 3}, seed)}, {"b", weights({256, 5}, seed)}});
  }
  [[nodiscard]] fs::path whole() const { return folder_ / "network.pt"; }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    return *core::read_file(whole(), std::size_t{1} << 24);
  }
  fs::path write(std::span<const std::byte> content) const {
    const fs::path path = folder_ / "changed.pt";
    if (!core::write_file(path, content))
      throw std::runtime_error("cannot write");
    return path;
  }
  fs::path folder_;
};

TEST_F(ModelFile, LoadsWithTheShapesItTells) {
  const auto model = model::load(whole());
  ASSERT_TRUE(model) << model.error().message();
  EXPECT_EQ((*model)->name(), "network");
  ASSERT_EQ((*model)->inputs().size(), 1u);
  EXPECT_EQ((*model)->inputs()[0].sizes, (std::vector<std::int64_t>{1, 3, 8, 8}));
  EXPECT_EQ((*model)->parameter_count(), 4 * 3 * 3 * 3 + 256 * 5);
  EXPECT_EQ((*model)->weight_bytes().count(), 4.0 * (4 * 3 * 3 * 3 + 256 * 5));
  check_every_cut(**model, (*model)->example_inputs());
}

TEST_F(ModelFile, LoadsTrainable) {
  const auto module = model::load_module(whole());
  ASSERT_TRUE(module) << module.error().message();
  for (const at::Tensor& parameter : module->parameters()) parameter.requires_grad_(true);
  torch::jit::Module trained = *module;
  trained.forward({at::ones({1, 3, 8, 8})}).toTensor().sum().backward();
  for (const at::Tensor& parameter : trained.parameters()) EXPECT_TRUE(parameter.grad().defined());
}

TEST_F(ModelFile, AsksForShapesThatNobodyTells) {
  network(1).save(whole().string());
  const auto untold = model::load(whole());
  ASSERT_FALSE(untold);
  EXPECT_EQ(untold.error().code, Errc::invalid_argument);
  EXPECT_NE(untold.error().message().find("--input"), std::string::npos);

  model::LoadOptions options;
  options.inputs = {*model::parse_input_spec("1x3x8x8"), *model::parse_input_spec("1x3x8x8")};
  EXPECT_EQ(model::load(whole(), options).error().code, Errc::invalid_argument);
  options.inputs = {*model::parse_input_spec("1x4x8x8")};
  const auto unfit = model::load(whole(), options);
  ASSERT_FALSE(unfit);
  EXPECT_EQ(unfit.error().code, Errc::invalid_argument);
  EXPECT_EQ(unfit.error().message().find('\n'), std::string::npos) << unfit.error().message();
  options.inputs = {*model::parse_input_spec("1x3x8x8")};
  EXPECT_TRUE(model::load(whole(), options));
}

TEST_F(ModelFile, NewWeightsKeepTheStructureAndItsCuts) {
  const auto first = model::load(whole());
  ASSERT_TRUE(model::save_module(network(2), {*model::parse_input_spec("1x3x8x8")}, whole()));
  const auto second = model::load(whole());
  ASSERT_TRUE(first && second);
  EXPECT_EQ((*first)->fingerprint().structure, (*second)->fingerprint().structure);
  EXPECT_NE((*first)->fingerprint().weights, (*second)->fingerprint().weights);
  ASSERT_EQ((*first)->cuts().size(), (*second)->cuts().size());
  for (std::size_t i = 0; i < (*first)->cuts().size(); ++i)
    EXPECT_EQ((*first)->cuts()[i].id, (*second)->cuts()[i].id);
}

TEST_F(ModelFile, MissingAndForeignFilesAreOneClearLine) {
  EXPECT_EQ(model::load(folder_ / "none.pt").error().code, Errc::not_found);
  EXPECT_EQ(model::load(folder_).error().code, Errc::corrupt);
  EXPECT_EQ(model::load(write({})).error().code, Errc::corrupt);
  const std::string text = "This is not a model.\n";
  const auto foreign = model::load(write(std::as_bytes(std::span(text))));
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().code, Errc::corrupt);
  EXPECT_NE(foreign.error().message().find("not a TorchScript model"), std::string::npos);
}

TEST_F(ModelFile, EveryTruncationIsNoticed) {
  const auto content = bytes();
  for (std::size_t size = 0; size < content.size(); size += 97) {
    const auto cut = model::load(write(std::span(content).first(size)));
    ASSERT_FALSE(cut) << size;
    EXPECT_EQ(cut.error().code, Errc::corrupt) << cut.error().message();
    EXPECT_EQ(cut.error().message().find('\n'), std::string::npos);
  }
  const auto short_by_one = model::load(write(std::span(content).first(content.size() - 1)));
  ASSERT_FALSE(short_by_one);
  EXPECT_NE(short_by_one.error().message().find("truncated"), std::string::npos);
}

TEST_F(ModelFile, FlippedBitsAreNoticedOrHarmless) {
  const auto content = bytes();
  const auto intact = model::load(whole());
  ASSERT_TRUE(intact);
  const auto inputs = (*intact)->example_inputs();
  const core::Values expected = run_whole(**intact, inputs);
  std::mt19937_64 random(11);
  std::size_t noticed = 0, harmless = 0;
  for (int round = 0; round < 600; ++round) {
    auto changed = content;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      changed[random() % changed.size()] ^= std::byte{1} << (random() % 8);
    const auto model = model::load(write(changed));
    if (!model) {
      ++noticed;
      EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
      continue;
    }
    // Timestamps, padding, attributes: what does not matter may be anything.
    ++harmless;
    EXPECT_EQ((*model)->fingerprint(), (*intact)->fingerprint());
    EXPECT_TRUE(bit_equal(run_whole(**model, inputs), expected));
  }
  EXPECT_GT(noticed, 100u);
  EXPECT_GT(harmless, 0u);
}

TEST_F(ModelFile, ArgumentsThatDoNotFitAreRefused) {
  const auto model = *model::load(whole());
  const auto first = model->cuts().front().id, last = model->cuts().back().id;
  const auto inputs = model->example_inputs();
  EXPECT_EQ(model->run(first, {12345}, inputs).error().code, Errc::not_found);
  EXPECT_EQ(model->run(last, first, inputs).error().code, Errc::invalid_argument);
  EXPECT_EQ(model->run(first, last, {}).error().code, Errc::invalid_argument);
  EXPECT_EQ(model->run(first, last, {core::Value(std::int64_t{1})}).error().code,
            Errc::invalid_argument);
  const core::Values small = {core::empty_tensor(core::DType::float32, {1, 3, 4, 4})};
  EXPECT_EQ(model->run(first, last, small).error().code, Errc::invalid_argument);
  const core::Values whole_numbers = {core::empty_tensor(core::DType::int64, {1, 3, 8, 8})};
  EXPECT_EQ(model->run(first, last, whole_numbers).error().code, Errc::invalid_argument);
  // A cut tensor of another shape than the head would give.
  const auto misfit = model->run(model->cuts()[1].id, last, small);
  ASSERT_FALSE(misfit);
  EXPECT_EQ(misfit.error().code, Errc::invalid_argument);
  EXPECT_EQ(misfit.error().message().find('\n'), std::string::npos) << misfit.error().message();
  const auto same = model->run(first, first, inputs);
  ASSERT_TRUE(same);
  EXPECT_TRUE(bit_equal(*same, inputs));
  EXPECT_EQ(model->set_threads(0).error().code, Errc::invalid_argument);
}

TEST_F(ModelFile, TimesEveryStepOnce) {
  const auto model = *model::load(whole());
  std::vector<core::StepTime> times;
  const auto& cuts = model->cuts();
  const auto inputs = model->example_inputs();
  const auto across = model->run_timed(cuts[0].id, cuts[1].id, inputs, times);
  ASSERT_TRUE(across);
  const auto outputs = model->run_timed(cuts[1].id, cuts.back().id, *across, times);
  ASSERT_TRUE(outputs);
  EXPECT_TRUE(bit_equal(*outputs, run_whole(*model, inputs)));
  ASSERT_EQ(times.size(), model->step_count());
  for (std::uint32_t i = 0; i < times.size(); ++i) {
    EXPECT_EQ(times[i].step, i);
    EXPECT_GE(times[i].time.count(), 0.0);
  }
}

TEST(InputSpec, IsWrittenAsItIsRead) {
  for (const char* text : {"1x3x224x224",
                           "7",
                           "scalar",
                           "1x77:int64",
                           "scalar:bool",
                           "none",
                           "int:-3",
                           "float:0.5",
                           "float:1e-300",
                           "bool:true",
                           "bool:false",
                           "str:abc",
                           "str:\"a, b\"",
                           "str:\"\"",
                           "str:\"say \\\"no\\\" \\\\\"",
                           "[]",
                           "()",
                           "{}",
                           "(1x3x8x8,1x4:int64)",
                           "[1x3x8x8,1x3x8x8]",
                           "{image=1x3x8x8}",
                           "{0=1x4,1=none}",
                           "{\"a b\"=[(1x2,int:1)]}"}) {
    const auto spec = model::parse_input_spec(text);
    ASSERT_TRUE(spec) << text;
    EXPECT_EQ(model::to_string(*spec), text);
    EXPECT_EQ(*model::parse_input_spec(model::to_string(*spec)), *spec);
  }
  for (const char* text : {"",          "x",        "1x",
                           "1xx2",      "0x3",      "-1x3",
                           "1x3:float", "1 x 3",    "99999999999x99999999999",
                           "1x3x",      "int:",     "int:1.5",
                           "float:x",   "bool:1",   "bool:truex",
                           "str:",      "str:\"a",  "[1x3",
                           "[1x3,]",    "(1x3]",    "{1x3}",
                           "{a=}",      "nonesuch", "int:99999999999999999999"})
    EXPECT_FALSE(model::parse_input_spec(text)) << text;
}

TEST(InputSpec, IsNotNestedWithoutBound) {
  EXPECT_TRUE(model::parse_input_spec(std::string(32, '[') + std::string(32, ']')));
  EXPECT_FALSE(model::parse_input_spec(std::string(33, '[') + std::string(33, ']')));
  EXPECT_FALSE(model::parse_input_spec(std::string(1 << 20, '(')));
}

}  // namespace
}  // namespace cleave::test
