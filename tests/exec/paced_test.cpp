#include "tests/support/fake_executable.hpp"

#include <cleave/exec/paced.hpp>

#include <gtest/gtest.h>

#include <ctime>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

// The fake network moves `clock`, and so does sleeping.
class PacedTest : public testing::Test {
 protected:
  exec::PaceTime fake_time() {
    exec::PaceTime fake;
    fake.now = [this] { return clock.now(); };
    fake.cpu = [this] { return clock.now() - slept; };
    fake.sleep_until = [this](Seconds until) {
      slept += until - clock.now();
      clock.advance(until - clock.now());
    };
    return fake;
  }

  core::ManualClock clock;
  Seconds slept;
  exec::PaceTime time = fake_time();
  std::shared_ptr<FakeExecutable> network = std::make_shared<FakeExecutable>(
      std::vector<Seconds>{milliseconds(1), milliseconds(2), milliseconds(4)}, 8, &clock);
  device::PaceGovernor governor{core::edge_host, {{"slow", 0.25}, {"fast", 0.5}}};
  exec::PacedExecutable paced{network, governor.pace(), time};
  core::CutId first = network->cuts().front().id, last = network->cuts().back().id;
};

TEST_F(PacedTest, TakesTheCpuTimeOverTheShare) {
  for (const auto& [level, expected] :
       {std::pair<core::LevelIndex, double>{0, 0.028}, {1, 0.014}}) {
    ASSERT_TRUE(governor.apply(level));
    const Seconds start = clock.now();
    const auto outputs = paced.run(first, last, network->example());
    ASSERT_TRUE(outputs);
    EXPECT_EQ(floats_of(*outputs), network->expected());
    EXPECT_NEAR((clock.now() - start).count(), expected, 1e-12);
  }
}

TEST_F(PacedTest, AHeadIsStretchedByItsOwnWork) {
  ASSERT_TRUE(governor.apply(0));
  ASSERT_TRUE(paced.run(first, network->cuts()[1].id, network->example()));
  EXPECT_NEAR(clock.now().count(), 0.004, 1e-12);
}

TEST_F(PacedTest, StepTimesAddUpToTheCall) {
  ASSERT_TRUE(governor.apply(0));
  std::vector<core::StepTime> times{{7, milliseconds(9)}};  // what was there stays
  ASSERT_TRUE(paced.run_timed(first, last, network->example(), times));
  ASSERT_EQ(times.size(), 4U);
  EXPECT_EQ(times[0].time, milliseconds(9));
  EXPECT_NEAR(times[1].time.count(), 0.004, 1e-12);
  EXPECT_NEAR(times[3].time.count(), 0.016, 1e-12);
}

TEST_F(PacedTest, WhatOtherProgramsTookIsTakenOffThePause) {
  ASSERT_TRUE(governor.apply(1));
  time.cpu = [this, calls = 0]() mutable {
    return calls++ == 0 ? Seconds(0) : clock.now() - milliseconds(3);  // 3 of 7 ms stolen
  };
  const exec::PacedExecutable disturbed(network, governor.pace(), time);
  ASSERT_TRUE(disturbed.run(first, last, network->example()));
  EXPECT_NEAR(clock.now().count(), 0.008, 1e-12);  // 4 ms of work at one half
}

TEST_F(PacedTest, TheWholeCpuNeedsNoPause) {
  ASSERT_TRUE(governor.apply(0));
  ASSERT_TRUE(governor.restore());
  ASSERT_TRUE(paced.run(first, last, network->example()));
  EXPECT_EQ(slept, Seconds(0));
  EXPECT_NEAR(clock.now().count(), 0.007, 1e-12);
}

TEST_F(PacedTest, ErrorsOfTheNetworkComeThrough) {
  EXPECT_EQ(paced.run(last, first, network->example()).error().code, core::Errc::not_found);
  EXPECT_EQ(paced.step_count(), 3U);
  EXPECT_EQ(paced.fingerprint(), network->fingerprint());
}

TEST(PaceTime, TheSystemsSleepEndsWhenItsClockSaysSo) {
  const exec::PaceTime time = exec::PaceTime::system();
  const Seconds until = time.now() + milliseconds(2);
  time.sleep_until(until);
  EXPECT_GE(time.now(), until);
}

TEST(PaceGovernor, KnowsItsLevelsAndPutsTheWholeCpuBack) {
  device::PaceGovernor governor(core::cloud_host, {{"a", 0.3}, {"b", 1.0}});
  EXPECT_EQ(governor.knob().name, "cpu_share");
  EXPECT_EQ(governor.knob().host, core::cloud_host);
  EXPECT_EQ(governor.apply(2).error().code, core::Errc::invalid_argument);
  ASSERT_TRUE(governor.apply(0));
  EXPECT_EQ(governor.current().value(), std::optional<core::LevelIndex>(0));
  EXPECT_EQ(governor.pace()->share(), 0.3);
  ASSERT_TRUE(governor.restore());
  EXPECT_EQ(governor.pace()->share(), 1.0);
  using Levels = std::vector<core::Level>;
  for (const Levels& bad :
       {Levels{}, Levels{{"a", 0}}, Levels{{"a", 1.5}}, Levels{{"a", 0.5}, {"b", 0.4}}})
    EXPECT_THROW(device::PaceGovernor(core::edge_host, bad), std::invalid_argument);
}

}  // namespace
}  // namespace cleave::tests
