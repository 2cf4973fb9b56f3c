#include "lib/model/zoo_torch.hpp"

#include <cleave/core/hash.hpp>
#include <cleave/model/zoo.hpp>

#include <gtest/gtest.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <random>
#include <set>

namespace {

using namespace cleave;
using torch::jit::Module;

const model::ZooEntry& entry_of(const std::string& name) {
  static const std::vector<model::ZooEntry> entries = model::zoo();
  for (const model::ZooEntry& entry : entries)
    if (entry.name == name)
      return entry;
  throw std::out_of_range(name);
}

Module build(const std::string& name, std::uint64_t seed) {
  auto module = model::make_zoo_module(name, seed);
  if (!module)
    throw std::runtime_error(module.error().message());
  return *module;
}

at::Tensor run(Module& network, const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  const torch::jit::GraphOptimizerEnabledGuard plain(false);
  return network.forward({images}).toTensor();
}

double deviation(const at::Tensor& values) {
  return values.std().item<double>();
}

/// A hash of every parameter and buffer with its name.
std::uint64_t hash_weights(const Module& network) {
  std::uint64_t hash = 0;
  for (const auto& [path, value] : network.named_attributes()) {
    if (!value.isTensor())
      continue;
    const at::Tensor tensor = value.toTensor().detach();
    hash = core::hash_text(path, hash);
    hash =
        core::hash_bytes({static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()}, hash);
  }
  return hash;
}

std::set<std::string> module_paths(const Module& network) {
  std::set<std::string> paths;
  for (const auto& [path, part] : network.named_modules()) paths.insert(path);
  return paths;
}

class ZooNetwork : public testing::TestWithParam<std::string> {};

TEST_P(ZooNetwork, HasThePublishedParametersAndShapesAndKeepsTheSignal) {
  const model::ZooEntry& entry = entry_of(GetParam());
  Module network = build(entry.name, 7);
  EXPECT_FALSE(network.is_training());

  std::uint64_t parameters = 0;
  for (const at::Tensor& parameter : network.parameters()) {
    parameters += static_cast<std::uint64_t>(parameter.numel());
    EXPECT_TRUE(parameter.requires_grad());
    EXPECT_GT(deviation(parameter.detach()), 0);
  }
  EXPECT_EQ(parameters, entry.parameters);

  const at::Tensor images = model::zoo_inputs(entry, 3, 99);
  const at::Tensor outputs = run(network, images);
  EXPECT_EQ(outputs.sizes(), (std::vector<std::int64_t>{3, entry.outputs}));
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_GT(deviation(outputs[i]), 0.1);
    EXPECT_LT(deviation(outputs[i]), 10);
    for (std::int64_t j = 0; j < i; ++j)
      EXPECT_GT(deviation(outputs[i] - outputs[j]), 0.1 * deviation(outputs)) << i << ", " << j;
  }

  // Noise is what a benchmark without images feeds it. Grey pixels are never negative.
  at::manual_seed(3);
  const auto sizes = at::IntArrayRef(entry.input);
  const at::Tensor noise = entry.input[1] == 1 ? at::rand(sizes) : at::randn(sizes);
  EXPECT_GT(deviation(run(network, noise)), 0.1);
  EXPECT_LT(deviation(run(network, noise)), 10);

  if (entry.any_size) {
    const at::Tensor odd = model::structured_images(1, entry.input[1], 96, 64, 5);
    EXPECT_EQ(run(network, odd).sizes(), (std::vector<std::int64_t>{1, entry.outputs}));
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, ZooNetwork,
                         testing::Values("vgg16", "resnet50", "mobilenet_v2", "vit_b_16",
                                         "googlenet", "fashion_residual"),
                         [](const auto& test) { return test.param; });

TEST(Zoo, ListsWhatItBuildsWithTheCountsThatWerePublished) {
  std::map<std::string, std::uint64_t> counts;
  for (const model::ZooEntry& entry : model::zoo()) {
    counts[entry.name] = entry.parameters;
    EXPECT_FALSE(entry.description.empty());
    EXPECT_FALSE(entry.source.empty());
  }
  // torchvision's documentation of its pretrained weights, num_params (GoogLeNet: without the
  // auxiliary classifiers).
  EXPECT_EQ(counts.at("vgg16"), 138357544u);
  EXPECT_EQ(counts.at("resnet50"), 25557032u);
  EXPECT_EQ(counts.at("mobilenet_v2"), 3504872u);
  EXPECT_EQ(counts.at("vit_b_16"), 86567656u);
  EXPECT_EQ(counts.at("googlenet"), 6624904u);
  EXPECT_LE(counts.at("fashion_residual") * 4, 5'000'000u);
}

TEST(Zoo, NamesLayersAsInThePublishedNetworks) {
  const auto mobile = module_paths(build("mobilenet_v2", 1));
  EXPECT_TRUE(mobile.count("features.0.0"));
  EXPECT_TRUE(mobile.count("features.17.conv.3"));
  EXPECT_TRUE(mobile.count("classifier.1"));
  const auto residual = module_paths(build("fashion_residual", 1));
  EXPECT_TRUE(residual.count("stem.conv"));
  EXPECT_TRUE(residual.count("stage2.0.conv"));
}

TEST(Zoo, EqualSeedsGiveEqualWeightsAndOthersDiffer) {
  const std::uint64_t once = hash_weights(build("fashion_residual", 5));
  EXPECT_EQ(hash_weights(build("fashion_residual", 5)), once);
  EXPECT_NE(hash_weights(build("fashion_residual", 6)), once);
}

TEST(Zoo, DrawsTheSameWeightsOnEveryMachine) {
  // By hand from the definition: mt19937_64 seeded with XXH3-64 of the path, the sum of the draw's
  // four 16-bit parts, centred, in units of its deviation; He's deviation for the convolution.
  const Module network = build("fashion_residual", 1);
  std::mt19937_64 engine(core::hash_text("stage1.0.conv.weight", 1));
  const std::uint64_t bits = engine();
  double sum = 0;
  for (int part = 0; part < 4; ++part) sum += static_cast<double>((bits >> (16 * part)) & 0xFFFF);
  const double expected =
      (sum - 2 * 65535.0) / std::sqrt((std::exp2(32) - 1) / 3) * std::sqrt(2.0 / (96 * 9));
  for (const auto& [path, parameter] : network.named_parameters())
    if (path == "stage1.0.conv.weight") {
      EXPECT_NEAR(parameter.flatten()[0].item<double>(), expected, 1e-6 * std::abs(expected));
      EXPECT_NEAR(deviation(parameter.detach()), std::sqrt(2.0 / (96 * 9)), 1e-3);
      return;
    }
  FAIL() << "no such parameter";
}

TEST(Zoo, CalibratesOnImagesThatDiffer) {
  const at::Tensor images = model::structured_images(6, 3, 64, 64, 11);
  EXPECT_NEAR(images.mean().item<double>(), 0, 0.5);
  EXPECT_NEAR(deviation(images), 1, 0.5);
  for (std::int64_t i = 1; i < 6; ++i) EXPECT_GT(deviation(images[i] - images[i - 1]), 0.5);
}

class ZooFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("cleave_zoo_test_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path folder_;
};

TEST_F(ZooFile, ReadsBackAsTheSameNetwork) {
  const auto path = folder_ / "small.pt";
  const auto built = model::build_zoo_model("fashion_residual", 3, path);
  ASSERT_TRUE(built) << built.error().message();
  Module read = torch::jit::load(path.string());
  Module made = build("fashion_residual", 3);
  EXPECT_FALSE(read.is_training());
  EXPECT_EQ(hash_weights(read), hash_weights(made));
  const at::Tensor images = model::zoo_inputs(entry_of("fashion_residual"), 2, 1);
  EXPECT_TRUE(run(read, images).equal(run(made, images)));
}

TEST_F(ZooFile, AnUnknownNameSaysWhichThereAreAndWritesNothing) {
  const auto built = model::build_zoo_model("resnet51", 1, folder_ / "x.pt");
  ASSERT_FALSE(built);
  EXPECT_EQ(built.error().code, core::Errc::not_found);
  EXPECT_NE(built.error().message().find("resnet50"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(ZooFile, AFolderThatIsNotThereIsAnErrorNotACrash) {
  const auto built = model::build_zoo_model("fashion_residual", 1, folder_ / "no" / "x.pt");
  ASSERT_FALSE(built);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
