#include "tests/support/fake_executable.hpp"

#include <cleave/profiler/codecs.hpp>
#include <cleave/transport/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <stop_token>

namespace {

using namespace cleave;
using profiler::CodecAtCut;
using profiler::LabelledValues;
using tests::FakeExecutable;

// Each look takes a millisecond longer than the last.
class TickingClock final : public core::Clock {
 public:
  [[nodiscard]] core::Seconds now() const override {
    return core::milliseconds(static_cast<double>(++looks_));
  }

 private:
  mutable int looks_ = 0;
};

core::Values floats(const std::vector<float>& values) {
  core::Tensor tensor =
      core::empty_tensor(core::DType::float32, {static_cast<std::int64_t>(values.size())});
  std::memcpy(tensor.data(), values.data(), values.size() * sizeof(float));
  return {tensor};
}

// The network keeps the order of its inputs, so its answer is the largest of them.
class CompareCodecs : public testing::Test {
 protected:
  std::vector<std::vector<float>> inputs{
      std::vector<float>(100, 1.0F), std::vector<float>(100, 0.0F), std::vector<float>(100, -1.0F)};
  FakeExecutable model{{core::Seconds(1), core::Seconds(1)}, 100};
  TickingClock clock;
  profiler::CodecComparisonOptions options;

  CompareCodecs() {
    inputs[0][7] = 90;  // far from all others: any codec keeps it
    inputs[1][5] = 9.9F;
    inputs[1][8] = 10;  // two bits give both the same, and the lower index wins
    inputs[2][3] = 2;
    options.codecs = {"raw", "int8", "int2", "int2+zstd"};
    options.clock = &clock;
  }

  core::Result<std::vector<CodecAtCut>> compare() {
    return profiler::compare_codecs(
        model, inputs.size(),
        [&](std::size_t i) -> core::Result<LabelledValues> {
          return LabelledValues{floats(inputs[i]), i == 2 ? -1 : 5};
        },
        options);
  }
};

TEST_F(CompareCodecs, CountsAnswersBytesAndTimesOfEveryCodecAtEveryCut) {
  const auto rows = compare();
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 2U * 4U);  // nothing is sent behind the last step
  for (const CodecAtCut& row : *rows) {
    EXPECT_EQ(row.inputs, 3U);
    EXPECT_EQ(row.labelled, 2U);
    EXPECT_EQ(row.agreeing, row.codec.starts_with("int2") ? 2U : 3U) << row.codec;
    EXPECT_EQ(row.right, row.codec.starts_with("int2") ? 1U : 0U) << row.codec;
    EXPECT_NEAR(row.encode.count(), 1e-3, 1e-9);
    EXPECT_NEAR(row.decode.count(), 1e-3, 1e-9);
    std::vector<std::byte> message;
    ASSERT_TRUE(
        transport::encode_values(floats(inputs[0]), **transport::find_codec(row.codec), message));
    EXPECT_EQ(row.bytes.count(), static_cast<double>(message.size()));
  }
  EXPECT_EQ(rows->at(4).cut.id, model.cuts()[1].id);
  EXPECT_EQ(rows->at(4).codec, "raw");
}

TEST_F(CompareCodecs, TakesTheCutsAskedForAndRefusesOthers) {
  options.cuts = {model.cuts()[1].id};
  const auto rows = compare();
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->size(), 4U);
  EXPECT_EQ(rows->front().cut.id, model.cuts()[1].id);
  options.cuts = {core::CutId{12345}};
  EXPECT_EQ(compare().error().code, core::Errc::not_found);
  options.cuts = {};
  options.codecs = {"morse"};
  EXPECT_EQ(compare().error().code, core::Errc::not_found);
}

TEST_F(CompareCodecs, StopsWhenToldTo) {
  std::stop_source stop;
  options.stop = stop.get_token();
  options.progress = [&](double) { stop.request_stop(); };
  EXPECT_EQ(compare().error().code, core::Errc::cancelled);
}

}  // namespace
