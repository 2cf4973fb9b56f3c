// ONNX files through cleave and through ONNX Runtime: the same outputs, whole and cut anywhere. The
// folder of the cases comes from the environment: CASE.onnx, CASE.shapes (an input a line), inputs
// CASE.in0.npy and on, and what ONNX Runtime made of them, CASE.out0.npy and on.
#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>
#include <cleave/data/npy.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;

struct Case {
  std::string name;
  model::LoadOptions options;
  core::Values inputs, expected;
};

std::vector<core::Tensor> arrays(const std::string& base) {
  std::vector<core::Tensor> tensors;
  for (int i = 0; fs::exists(base + std::to_string(i) + ".npy"); ++i)
    tensors.push_back(*data::load_npy(base + std::to_string(i) + ".npy"));
  return tensors;
}

fs::path folder() {
  const char* path = std::getenv("CLEAVE_PEER_CASES");
  return path ? path : "";
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder(), none)) {
    if (entry.path().extension() == ".onnx")
      found.push_back(entry.path().stem().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

Case read_case(const std::string& name) {
  const std::string base = (folder() / name).string();
  Case c;
  c.name = name;
  std::istringstream lines(*core::read_text(base + ".shapes", 1 << 16));
  for (std::string line; std::getline(lines, line);)
    c.options.inputs.push_back(*model::parse_input_spec(line));
  for (const core::Tensor& tensor : arrays(base + ".in")) c.inputs.emplace_back(tensor);
  for (const core::Tensor& tensor : arrays(base + ".out")) c.expected.emplace_back(tensor);
  return c;
}

// The largest difference over the largest magnitude; integers and booleans must be equal.
double difference(const core::Tensor& given, const core::Tensor& expected) {
  const at::Tensor a = model::to_torch(given), b = model::to_torch(expected);
  if (a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type())
    return std::numeric_limits<double>::infinity();
  if (a.numel() == 0)
    return 0;
  const at::Tensor p = a.to(at::kDouble), q = b.to(at::kDouble);
  // Where both are infinite or both are no number, they are equal.
  const at::Tensor same = p.eq(q).logical_or(p.isnan().logical_and(q.isnan()));
  const at::Tensor apart = at::where(same, at::zeros_like(p), (p - q).abs());
  if (!at::isFloatingType(a.scalar_type()))
    return apart.max().item<double>() == 0 ? 0 : std::numeric_limits<double>::infinity();
  const at::Tensor finite = at::where(q.isfinite(), q.abs(), at::zeros_like(q));
  const double largest = finite.max().item<double>();
  const double most = apart.max().item<double>();
  return std::isnan(most) ? std::numeric_limits<double>::infinity()
                          : most / std::max(largest, 1e-30);
}

class OnnxFidelity : public testing::TestWithParam<std::string> {};

TEST_P(OnnxFidelity, OutputsAreThoseOfOnnxRuntimeAndEveryCutKeepsThem) {
  const Case c = read_case(GetParam());
  ASSERT_FALSE(c.expected.empty()) << "ONNX Runtime has not run";
  const auto model = model::load(folder() / (c.name + ".onnx"), c.options);
  ASSERT_TRUE(model) << model.error().message();
  ASSERT_TRUE((*model)->set_threads(1));
  const auto given = tensors(run_whole(**model, c.inputs));
  ASSERT_EQ(given.size(), c.expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const double apart = difference(given[i], *c.expected[i].tensor());
    EXPECT_LT(apart, 1e-4) << "output " << i;
    worst = std::max(worst, apart);
  }
  // Head then tail, at every cut, with copies of what crosses as a peer would hold them.
  const auto cuts = (*model)->cuts();
  const core::Values whole = run_whole(**model, c.inputs);
  for (const core::Cut& cut : cuts) {
    const auto across = resettled(run(**model, cuts.front().id, cut.id, c.inputs));
    ASSERT_TRUE(bit_equal(run(**model, cut.id, cuts.back().id, across), whole))
        << "cut at " << cut.position << " after " << cut.op << " in " << cut.layer;
  }
  std::printf("%-24s %4zu steps %4zu cuts, largest difference %.1e\n", c.name.c_str(),
              (*model)->steps().size(), cuts.size(), worst);
}

INSTANTIATE_TEST_SUITE_P(Files, OnnxFidelity, testing::ValuesIn(names()),
                         [](const auto& tested) { return tested.param; });

TEST(OnnxFidelityCases, AreThere) {
  EXPECT_GE(names().size(), 5u) << "CLEAVE_PEER_CASES names the folder";
}

}  // namespace
}  // namespace cleave::test
