#include "tests/support/fake_cloud.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/split_at.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/exec/executor.hpp>

#include <gtest/gtest.h>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;

class ExecutorTest : public testing::Test {
 protected:
  ExecutorTest() { cloud.round_trip = milliseconds(10); }

  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<FakeExecutable> model = std::make_shared<FakeExecutable>(
      std::vector<Seconds>{milliseconds(1), milliseconds(2), milliseconds(4), milliseconds(8)}, 32,
      clock.get());
  FakeCloud cloud{*clock, model};
  exec::Executor executor{model, nullptr, &cloud, {.clock = clock}};

  core::Configuration at(std::size_t cut, std::string codec = "raw") {
    return split_at(*model, cut, std::move(codec));
  }
};

TEST_F(ExecutorTest, EveryCutGivesWhatTheWholeNetworkGives) {
  for (std::size_t cut = 0; cut < model->cuts().size(); ++cut) {
    const auto execution = executor.execute(at(cut), model->example());
    ASSERT_TRUE(execution) << execution.error().message();
    EXPECT_EQ(floats_of(execution->outputs), model->expected()) << "cut " << cut;
    EXPECT_FALSE(execution->fell_back);
  }
  EXPECT_EQ(cloud.calls, 4);  // all but the all-edge cut
}

TEST_F(ExecutorTest, PartsAreThoseOfTheStepsAndAddUpToTheTotal) {
  // 32 floats and the headers around them, at a rate that makes 20 ms of the request.
  const auto probe = executor.execute(at(2), model->example());
  ASSERT_TRUE(probe);
  cloud.rate = core::BytesPerSecond(probe->sent / core::Bytes(0.020));
  const auto execution = executor.execute(at(2), model->example());
  ASSERT_TRUE(execution);
  const exec::MeasuredParts& parts = execution->parts;
  EXPECT_NEAR(parts.edge_compute.count(), 0.003, 1e-12);
  EXPECT_NEAR(parts.cloud_compute.count(), 0.012, 1e-12);
  EXPECT_NEAR(parts.upload.count(), 0.020, 1e-12);
  EXPECT_NEAR(parts.network.count(), 0.010, 1e-12);
  const double download = probe->received / core::Bytes(cloud.rate.count());
  EXPECT_NEAR(parts.reply.count(), download, 1e-12);
  EXPECT_NEAR(parts.total.count(), 0.045 + download, 1e-12);
  const Seconds sum = parts.apply + parts.edge_compute + parts.encode + parts.upload + parts.queue +
                      parts.decode + parts.cloud_compute + parts.reply + parts.network +
                      parts.abandoned;
  EXPECT_NEAR(sum.count(), parts.total.count(), 1e-12);
}

TEST_F(ExecutorTest, ALossyCodecStaysWithinItsBound) {
  const auto execution = executor.execute(at(1, "fp16"), model->example());
  ASSERT_TRUE(execution) << execution.error().message();
  const auto expected = model->expected();
  const auto got = floats_of(execution->outputs);
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(got[i], expected[i], expected[i] * 0x1p-10f);
}

TEST_F(ExecutorTest, TheEdgeFinishesWhenTheCloudIsUnavailable) {
  cloud.on_call = [&](const exec::RemoteCall&) -> core::Result<void> {
    clock->advance(milliseconds(5));
    return core::fail(Errc::unavailable, "connection lost");
  };
  const auto execution = executor.execute(at(1), model->example());
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::unavailable);
  EXPECT_EQ(floats_of(execution->outputs), model->expected());
  EXPECT_NEAR(execution->parts.edge_compute.count(), 0.015, 1e-12);
  EXPECT_NEAR(execution->parts.abandoned.count(), 0.005, 1e-12);
  EXPECT_EQ(cloud.calls, 1);
}

TEST_F(ExecutorTest, TheEdgeFinishesWhenThereIsNoCloud) {
  exec::Executor alone(model, nullptr, nullptr, {.clock = clock});
  const auto execution = alone.execute(at(0), model->example());
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(floats_of(execution->outputs), model->expected());
}

TEST_F(ExecutorTest, TheCloudIsToldHowLongItHasAndHowLongWeWait) {
  exec::RemoteCall seen;
  cloud.on_call = [&](const exec::RemoteCall& call) -> core::Result<void> {
    seen = call;
    return {};
  };
  ASSERT_TRUE(executor.execute(
      at(1), model->example(),
      {.remaining = milliseconds(70), .patience = milliseconds(50), .priority = 3}));
  EXPECT_EQ(seen.remaining, milliseconds(70));
  EXPECT_EQ(seen.patience, milliseconds(50));
  EXPECT_EQ(seen.priority, 3);
  EXPECT_EQ(seen.service, exec::infer_service);
}

TEST_F(ExecutorTest, AReplySpoiledAnywhereEndsOnTheEdgeOrIsTheSame) {
  const auto good = executor.execute(at(1), model->example());
  ASSERT_TRUE(good);
  const auto length = static_cast<std::size_t>(good->received.count());
  for (std::size_t cutoff = 0; cutoff < length; ++cutoff) {
    cloud.spoil = [&](std::vector<std::byte>& body) { body.resize(cutoff); };
    const auto execution = executor.execute(at(1), model->example());
    ASSERT_TRUE(execution);
    EXPECT_TRUE(execution->fell_back) << "cut off at " << cutoff;
    EXPECT_EQ(floats_of(execution->outputs), model->expected());
  }
}

TEST_F(ExecutorTest, ACloudWithOtherWeightsIsNeverUsed) {
  FakeCloud other(*clock, std::make_shared<FakeExecutable>(std::vector<Seconds>(4, milliseconds(1)),
                                                           32, nullptr, 2));
  exec::Executor mismatched(model, nullptr, &other, {.clock = clock});
  const auto execution = mismatched.execute(at(1), model->example());
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::mismatch);
  EXPECT_EQ(floats_of(execution->outputs), model->expected());
}

TEST_F(ExecutorTest, AnUnknownCutOrAWrongInputIsAnError) {
  core::Configuration unknown = at(1);
  unknown.stages.front().end.value ^= 1;
  EXPECT_EQ(executor.execute(unknown, model->example()).error().code, Errc::not_found);
  EXPECT_EQ(executor.execute(at(1), {}).error().code, Errc::invalid_argument);
  EXPECT_EQ(executor.execute({}, model->example()).error().code, Errc::invalid_argument);
}

TEST_F(ExecutorTest, KnobsAreSetBeforeTheHeadRuns) {
  std::vector<int> set;
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(std::make_unique<device::ThreadsGovernor>(
      std::vector<int>{1, 2}, 1, [&](int threads) -> core::Result<void> {
        set.push_back(threads);
        return {};
      }));
  device::Arbiter arbiter(std::move(governors));
  exec::Executor with_knobs(model, &arbiter, &cloud, {.clock = clock});
  core::Configuration configuration = at(1);
  configuration.stages.front().levels = {1};
  ASSERT_TRUE(with_knobs.execute(configuration, model->example()));
  ASSERT_FALSE(set.empty());
  EXPECT_EQ(set.back(), 2);
  configuration.stages.front().levels = {7};
  EXPECT_EQ(with_knobs.execute(configuration, model->example()).error().code,
            Errc::invalid_argument);
}

}  // namespace
}  // namespace cleave::tests
