// Every cut of every network of the zoo, from files, as a deployment would load them.
#include "tests/model/on_device.hpp"

#include <cleave/model/zoo.hpp>
#include <cleave/transport/codec.hpp>

#include <unistd.h>

#include <filesystem>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;

// A folder that lasts as long as the test.
class Scratch {
 public:
  Scratch() : path_(fs::temp_directory_path() / ("cleave-networks-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

// The values as a peer holds them, through the raw codec.
core::Values as_received(const core::Values& values) {
  std::vector<std::byte> message;
  const auto codec = transport::find_codec("raw");
  if (!codec || !transport::encode_values(values, **codec, message))
    throw std::runtime_error("the values cannot be encoded");
  auto received = transport::decode_values(message);
  if (!received)
    throw std::runtime_error(received.error().message());
  return *std::move(received);
}

using Entry = std::tuple<model::ZooEntry, model::PlanKind, std::string>;

class Networks : public DeviceTest, public testing::WithParamInterface<Entry> {
 protected:
  Networks() : DeviceTest(std::get<2>(GetParam())) {}

  /// The network from a file, at a smaller size than the published one where it takes any.
  std::shared_ptr<const model::Model> load(const std::string& device) {
    constexpr std::int64_t size = 96;
    const fs::path file = scratch_.path() / (entry().name + ".pt");
    if (const auto built = model::build_zoo_model(entry().name, 1, file); !built)
      throw std::runtime_error(built.error().message());
    model::LoadOptions options;
    options.device = device;
    options.plan = std::get<1>(GetParam());
    options.plan_cache = "";
    model::InputSpec input{"", core::DType::float32, entry().input};
    if (entry().any_size && input.sizes.size() == 4)
      input.sizes[2] = input.sizes[3] = size;
    options.inputs = {input};
    auto model = model::load(file, options);
    if (!model)
      throw std::runtime_error(model.error().message());
    return *model;
  }

  [[nodiscard]] static const model::ZooEntry& entry() { return std::get<0>(GetParam()); }

 private:
  Scratch scratch_;
};

TEST_P(Networks, HeadThenTailEqualsWholeBitForBitAtEveryCut) {
  const auto model = load(device());
  ASSERT_TRUE(model->set_threads(1));
  const auto inputs = model->example_inputs(7);
  const core::Values whole = run_whole(*model, inputs);
  if (device() != "cpu") {
    EXPECT_LT(relative_difference(whole, run_whole(*load("cpu"), inputs)), tolerance());
  }
  const auto cuts = model->cuts();
  ASSERT_GT(cuts.size(), std::get<1>(GetParam()) == model::PlanKind::fused ? 12u : 20u);
  EXPECT_TRUE(model->refused_cuts().empty());
  // Tails of a network that takes no smaller input cost a minute: there, every fourth cut shows
  // that the comparison notices a change.
  const std::size_t perturbed_each = entry().any_size ? 1 : 4;
  // Each head goes on from the one before, across a copy: a network in as many parts as it has
  // cuts.
  core::Values across = inputs;
  for (std::size_t i = 0; i < cuts.size(); ++i) {
    const core::Cut& cut = cuts[i];
    SCOPED_TRACE("cut at " + std::to_string(cut.position) + " after " + cut.op + " in " +
                 cut.layer);
    if (i > 0)
      across = run(*model, cuts[i - 1].id, cut.id, as_received(across));
    const core::Values received = as_received(across);
    EXPECT_TRUE(bit_equal(run(*model, cut.id, cuts.back().id, received), whole));
    EXPECT_TRUE(bit_equal(across, received)) << "the tail changed what crossed";
    if (i % perturbed_each == 0) {
      EXPECT_TRUE(notices_a_change(*model, cut, across, whole));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Zoo, Networks,
                         testing::Combine(testing::ValuesIn(model::zoo()),
                                          testing::Values(model::PlanKind::fused,
                                                          model::PlanKind::unfused),
                                          testing::ValuesIn(devices())),
                         [](const auto& entry) {
                           const bool fused = std::get<1>(entry.param) == model::PlanKind::fused;
                           return std::get<0>(entry.param).name +
                                  (fused ? "_fused_" : "_unfused_") + std::get<2>(entry.param);
                         });

}  // namespace
}  // namespace cleave::test
