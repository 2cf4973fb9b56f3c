#include <cleave/device/arbiter.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

namespace cleave::device_tests {
namespace {

using core::Errc;
using core::LevelIndex;
using core::Result;
using device::Arbiter;
using device::ArbiterOptions;
using device::Compromise;
using device::Governor;
using device::Lease;

// What happened to a knob, seen from outside.
struct Trace {
  std::vector<LevelIndex> applied;
  int restored = 0;
  bool fail = false;
  std::atomic<int> inside{0};
  bool overlapped = false;
};

class FakeGovernor final : public Governor {
 public:
  FakeGovernor(std::string name, Trace& trace, core::ManualClock* clock = nullptr,
               bool per_thread = false, bool categorical = false)
      : trace_(trace), clock_(clock), per_thread_(per_thread) {
    knob_.name = std::move(name);
    knob_.levels = {{"low", 1}, {"middle", 2}, {"high", 3}};
    knob_.categorical = categorical;
  }
  const core::Knob& knob() const override { return knob_; }
  Result<void> apply(LevelIndex level) override {
    trace_.overlapped = trace_.overlapped || trace_.inside++ != 0;
    if (clock_ != nullptr)
      clock_->advance(core::milliseconds(1 + level));
    if (!trace_.fail)
      trace_.applied.push_back(level);
    --trace_.inside;
    if (trace_.fail)
      return core::fail(Errc::io, "told to fail", knob_.name);
    return {};
  }
  Result<std::optional<LevelIndex>> current() override {
    return trace_.applied.empty() ? std::nullopt : std::optional(trace_.applied.back());
  }
  Result<void> restore() override {
    ++trace_.restored;
    return {};
  }
  bool per_calling_thread() const override { return per_thread_; }

 private:
  core::Knob knob_;
  Trace& trace_;
  core::ManualClock* clock_;
  bool per_thread_;
};

using Levels = std::vector<LevelIndex>;

template <class... Governors>
std::vector<std::unique_ptr<Governor>> list(Governors... governors) {
  std::vector<std::unique_ptr<Governor>> all;
  (all.push_back(std::move(governors)), ...);
  return all;
}

TEST(Arbiter, AppliesOnlyWhatChanges) {
  Trace a, b;
  Arbiter arbiter(
      list(std::make_unique<FakeGovernor>("a", a), std::make_unique<FakeGovernor>("b", b)));
  EXPECT_TRUE(arbiter.acquire(Levels{0, 1}));
  EXPECT_TRUE(arbiter.acquire(Levels{0, 1}));
  EXPECT_TRUE(arbiter.acquire(Levels{0, 2}));
  EXPECT_EQ(a.applied, (Levels{0}));
  EXPECT_EQ(b.applied, (Levels{1, 2}));
}

TEST(Arbiter, GivesTheHighestLevelThatLeasesAskFor) {
  Trace a;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a)));
  auto low = arbiter.acquire(Levels{0}).value();
  auto high = arbiter.acquire(Levels{2}).value();
  auto middle = arbiter.acquire(Levels{1}).value();
  EXPECT_EQ(middle.granted(), (Levels{2}));
  high.release();
  EXPECT_EQ(a.applied, (Levels{0, 2, 1})) << "down to what the others asked for";
  middle.release();
  low.release();
  EXPECT_EQ(a.applied, (Levels{0, 2, 1, 0}));
}

TEST(Arbiter, CanCapInstead) {
  Trace a;
  ArbiterOptions options;
  options.compromises = {Compromise::lowest};
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a)), options);
  auto high = arbiter.acquire(Levels{2}).value();
  {
    auto low = arbiter.acquire(Levels{0}).value();
    EXPECT_EQ(low.granted(), (Levels{0}));
  }
  EXPECT_EQ(a.applied, (Levels{2, 0, 2}));
}

TEST(Arbiter, LetsTheOldestLeaseDecideAWord) {
  Trace a;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("mode", a, nullptr, false, true)));
  auto first = arbiter.acquire(Levels{1}).value();
  auto second = arbiter.acquire(Levels{2}).value();
  EXPECT_EQ(second.granted(), (Levels{1}));
  first.release();
  EXPECT_EQ(a.applied, (Levels{1, 2}));
}

TEST(Arbiter, AppliesPerThreadKnobsForEveryLeaseWithoutACompromise) {
  Trace a;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("threads", a, nullptr, true)));
  auto two = arbiter.acquire(Levels{2}).value();
  auto one = arbiter.acquire(Levels{0}).value();
  auto again = arbiter.acquire(Levels{0}).value();
  EXPECT_EQ(one.granted(), (Levels{0}));
  two.release();
  EXPECT_EQ(a.applied, (Levels{2, 0, 0}));
}

TEST(Arbiter, MeasuresWhatAChangeCosts) {
  Trace a;
  auto clock = std::make_shared<core::ManualClock>();
  ArbiterOptions options;
  options.clock = clock;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a, clock.get())), options);
  const auto switch_time = [&](LevelIndex level) {
    return arbiter.acquire(Levels{level}).value().switch_time().count();
  };
  EXPECT_NEAR(switch_time(2), 3e-3, 1e-12);
  EXPECT_NEAR(arbiter.switch_costs().at(0).mean.count(), 3e-3, 1e-12);
  EXPECT_EQ(switch_time(2), 0) << "nothing changes";
  EXPECT_NEAR(switch_time(0), 1e-3, 1e-12);
  EXPECT_NEAR(switch_time(1), 2e-3, 1e-12);
  const auto cost = arbiter.switch_costs().at(0);
  EXPECT_EQ(cost.changes, 3u);
  EXPECT_NEAR(cost.mean.count(), 1.5e-3, 1e-12) << "the first change, which sets up, is left out";
  EXPECT_NEAR(cost.most.count(), 3e-3, 1e-12);
  EXPECT_NEAR(arbiter.knobs().at(0).switch_cost.count(), 1.5e-3, 1e-12);
}

TEST(Arbiter, KeepsThePromiseToOthersWhenALeaseFails) {
  Trace a, b;
  Arbiter arbiter(
      list(std::make_unique<FakeGovernor>("a", a), std::make_unique<FakeGovernor>("b", b)));
  auto held = arbiter.acquire(Levels{0, 0}).value();
  b.fail = true;
  EXPECT_EQ(arbiter.acquire(Levels{2, 2}).error().code, Errc::io);
  EXPECT_EQ(a.applied, (Levels{0, 2, 0}));
  b.fail = false;
  EXPECT_TRUE(arbiter.acquire(Levels{0, 0})) << "and tries the knob that failed again";
  EXPECT_EQ(b.applied, (Levels{0, 0}));
}

TEST(Arbiter, RefusesLevelsThatDoNotFitAndChangesNothing) {
  Trace a;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a)));
  EXPECT_EQ(arbiter.acquire(Levels{}).error().code, Errc::invalid_argument);
  EXPECT_EQ(arbiter.acquire(Levels{0, 0}).error().code, Errc::invalid_argument);
  EXPECT_EQ(arbiter.acquire(Levels{3}).error().code, Errc::invalid_argument);
  EXPECT_TRUE(a.applied.empty());
}

TEST(Arbiter, RestoresOnceAndGrantsNothingAfterwards) {
  Trace a;
  Lease survivor;
  {
    Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a)));
    survivor = arbiter.acquire(Levels{2}).value();
    auto other = arbiter.acquire(Levels{0}).value();
    EXPECT_TRUE(arbiter.restore_all());
    EXPECT_EQ(arbiter.acquire(Levels{0}).error().code, Errc::cancelled);
    survivor.release();
    EXPECT_EQ(a.applied, (Levels{2})) << "a lease that ends later changes nothing";
    survivor = std::move(other);
  }
  EXPECT_GE(a.restored, 1);
  EXPECT_TRUE(survivor.held());
  survivor.release();  // outlives the arbiter
  EXPECT_EQ(a.applied, (Levels{2}));
}

TEST(Arbiter, SerialisesChangesOfManyThreads) {
  Trace a;
  Arbiter arbiter(list(std::make_unique<FakeGovernor>("a", a)));
  std::vector<std::thread> threads;
  std::atomic<int> granted{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const auto level = static_cast<LevelIndex>((t + i) % 3);
        auto lease = arbiter.acquire(Levels{level});
        if (lease && lease->granted()[0] >= level)
          ++granted;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(granted, 800);
  EXPECT_FALSE(a.overlapped);
}

TEST(Threads, AreSetOnTheThreadThatAsks) {
  std::vector<std::pair<std::thread::id, int>> calls;
  device::ThreadsGovernor governor(6, 2, [&](int n) -> Result<void> {
    calls.emplace_back(std::this_thread::get_id(), n);
    return {};
  });
  ASSERT_EQ(governor.knob().levels.size(), 4u);  // 1, 2, 4, 6
  EXPECT_EQ(governor.knob().levels[3], (core::Level{"6", 6}));
  EXPECT_EQ(governor.current().value(), std::nullopt);
  ASSERT_TRUE(governor.restore());
  EXPECT_TRUE(calls.empty()) << "nothing was changed, so nothing is put back";
  ASSERT_TRUE(governor.apply(3));
  std::thread([&] {
    EXPECT_EQ(governor.current().value(), std::nullopt);
    ASSERT_TRUE(governor.apply(0));
  }).join();
  EXPECT_EQ(governor.current().value(), 3);
  ASSERT_TRUE(governor.restore());
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0], std::pair(std::this_thread::get_id(), 6));
  EXPECT_NE(calls[1].first, std::this_thread::get_id());
  EXPECT_EQ(calls[2], std::pair(std::this_thread::get_id(), 2));
  EXPECT_EQ(governor.apply(4).error().code, Errc::invalid_argument);
}

TEST(Threads, PassOnAFailure) {
  device::ThreadsGovernor governor(
      2, 1, [](int) -> Result<void> { return core::fail(Errc::unsupported, "fixed"); });
  EXPECT_EQ(governor.apply(1).error().code, Errc::unsupported);
  EXPECT_EQ(governor.current().value(), std::nullopt);
}

TEST(Threads, MustAscend) {
  const auto set = [](int) -> Result<void> { return {}; };
  EXPECT_THROW(device::ThreadsGovernor(std::vector<int>{2, 1}, 1, set), std::invalid_argument);
  EXPECT_THROW(device::ThreadsGovernor(std::vector<int>{0}, 1, set), std::invalid_argument);
  EXPECT_EQ(device::ThreadsGovernor(0, 0, set).knob().levels.size(), 1u);
}

}  // namespace
}  // namespace cleave::device_tests
