// The trained network in the repository, through cleave's own loader, on real labelled images.

#include <cleave/data/inputs.hpp>
#include <cleave/model/model.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

namespace {

using namespace cleave;

const std::string network_file = CLEAVE_SOURCE_DIR "/data/models/fashion_residual.pt";
const std::string images_folder = "/usr/share/datasets/fashion-mnist/";

TEST(TrainedNetwork, IsRightOnNineOfTenTestImages) {
  const std::string images = images_folder + "t10k-images-idx3-ubyte.gz";
  if (!std::filesystem::exists(images))
    GTEST_SKIP() << images << " is not there: apt-get install dataset-fashion-mnist";
  const auto inputs = data::open_inputs(images, images_folder + "t10k-labels-idx1-ubyte.gz");
  ASSERT_TRUE(inputs) << inputs.error().message();
  ASSERT_EQ(inputs->size(), 10000u);
  const auto network = model::load(network_file);
  ASSERT_TRUE(network) << network.error().message();
  ASSERT_TRUE((*network)->set_threads(1));
  const auto cuts = (*network)->cuts();
  const auto& sizes = (*network)->inputs().front().sizes;
  ASSERT_EQ(sizes, (std::vector<std::int64_t>{1, 1, 112, 112}));

  constexpr std::size_t count = 1000;
  std::size_t right = 0;
  for (std::size_t i = 0; i < count; ++i) {
    // Every tenth, so that the subset is not one stretch of the file.
    const auto image = inputs->input(10 * i, sizes);
    ASSERT_TRUE(image) << image.error().message();
    const auto outputs = (*network)->run(cuts.front().id, cuts.back().id, {*image});
    ASSERT_TRUE(outputs) << outputs.error().message();
    const core::Tensor* logits = outputs->front().tensor();
    ASSERT_NE(logits, nullptr);
    ASSERT_EQ(logits->numel(), 10u);
    const float* const first = logits->data_as<float>();
    right += std::max_element(first, first + 10) - first == inputs->label(10 * i);
  }
  EXPECT_GE(right, 900u);
}

TEST(TrainedNetwork, IsSmallEnoughForTheRepository) {
  EXPECT_LE(std::filesystem::file_size(network_file), 5'000'000u);
}

}  // namespace
