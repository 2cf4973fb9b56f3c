// The edge and a cloud that is silent, fails or answers late: who finishes a request, and how
// often.
#include "tests/support/fake_executable.hpp"
#include "tests/support/knob.hpp"
#include "tests/support/split_at.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/exec/infer_service.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;

// Does what the inner one does, and tells before each run.
class Observed final : public core::Executable {
 public:
  explicit Observed(std::shared_ptr<const FakeExecutable> inner) : inner_(std::move(inner)) {}
  core::Fingerprint fingerprint() const override { return inner_->fingerprint(); }
  std::span<const core::Cut> cuts() const override { return inner_->cuts(); }
  std::uint32_t step_count() const override { return inner_->step_count(); }
  core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                 const core::Values& values) const override {
    std::vector<core::StepTime> times;
    return run_timed(begin, end, values, times);
  }
  core::Result<core::Values> run_timed(core::CutId begin, core::CutId end,
                                       const core::Values& values,
                                       std::vector<core::StepTime>& times) const override {
    ++runs;
    if (before_run)
      if (auto may = before_run(runs); !may)
        return core::fail(may);
    return inner_->run_timed(begin, end, values, times);
  }
  core::Result<void> set_threads(int) const override { return {}; }

  mutable int runs = 0;
  std::function<core::Result<void>(int run)> before_run;

 private:
  std::shared_ptr<const FakeExecutable> inner_;
};

// Keeps each call until the test answers it.
class HeldRemote final : public exec::Remote {
 public:
  HeldRemote(std::shared_ptr<const core::Executable> model,
             std::shared_ptr<const core::Clock> clock)
      : service_(models_, nullptr, std::move(clock)) {
    models_.put(std::move(model));
  }

  core::Result<exec::RemoteReply> call(exec::RemoteCall) override {
    return core::fail(Errc::internal, "not used");
  }
  exec::RemoteStart start(exec::RemoteCall call, Done when_done) override {
    EXPECT_TRUE(exec::gather(call));
    body = call.body;
    seen = call.choice;
    const unsigned endpoint = starts++;
    if (fail_first > 0) {
      --fail_first;
      when_done(core::fail(Errc::unavailable, "it broke"));
      return {endpoint, {}};
    }
    done = std::move(when_done);
    if (answers_at_once)
      answer();
    return {endpoint, [this] { ++cancels; }};
  }
  bool available(const exec::RemoteChoice& choice) const override {
    ++asked;
    return endpoints > starts && (choice.avoid == 0 || other_takes < choice.alternative);
  }
  void distrust(unsigned endpoint) override {
    distrusted.push_back(endpoint);
    ++distrusts;
  }

  void answer() { answer_with(service_.tail(body)); }
  void answer_with(core::Result<std::vector<std::byte>> reply) {
    if (reply)
      done(exec::RemoteReply{std::move(*reply), {}, {}, {}, {}});
    else
      done(core::fail(reply));
  }
  core::Result<std::vector<std::byte>> right_answer() { return service_.tail(body); }

  unsigned starts = 0, endpoints = 1;
  mutable int asked = 0;
  int cancels = 0, fail_first = 0;
  bool answers_at_once = false;
  Seconds other_takes = milliseconds(1);
  std::vector<unsigned> distrusted;
  std::atomic<int> distrusts = 0;
  std::vector<std::byte> body;
  exec::RemoteChoice seen;
  Done done;

 private:
  exec::ModelStore models_;
  exec::InferService service_;
};

class HedgeTest : public testing::Test {
 protected:
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<FakeExecutable> fake =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(20, milliseconds(1)), 16, clock.get());
  std::shared_ptr<Observed> model = std::make_shared<Observed>(fake);
  // The cloud's own copy takes no time.
  HeldRemote cloud{
      std::make_shared<FakeExecutable>(std::vector<Seconds>(20, Seconds(0)), std::int64_t{16}),
      clock};
  exec::Executor executor{model, nullptr, &cloud, {.clock = clock}};

  core::Configuration at(std::size_t cut) { return split_at(*model, cut); }
  static Seconds sum(const exec::MeasuredParts& p) {
    return p.apply + p.edge_compute + p.encode + p.upload + p.queue + p.decode + p.cloud_compute +
           p.reply + p.network + p.abandoned + p.unread;
  }
};

TEST_F(HedgeTest, ASilentCloudIsAnsweredForByTheEdgeOnceAndALateReplyIsDropped) {
  const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::timed_out);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
  EXPECT_EQ(cloud.starts, 1u);
  EXPECT_EQ(cloud.cancels, 1);
  EXPECT_NEAR(execution->parts.edge_compute.count(), 0.020, 1e-12);
  EXPECT_NEAR(execution->parts.total.count(), sum(execution->parts).count(), 1e-12);
  cloud.answer();  // after the caller has gone
}

TEST_F(HedgeTest, AReplyAtAnyPieceOfTheTailIsTakenAndTheRestIsNotRun) {
  int least_left = 100;
  for (int piece = 2;; ++piece) {  // the first run is the head
    model->runs = 0;
    cloud.starts = 0;
    bool answered = false;
    model->before_run = [&](int run) -> core::Result<void> {
      if (run == piece) {
        answered = true;
        cloud.answer();
      }
      return {};
    };
    const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
    ASSERT_TRUE(execution);
    EXPECT_EQ(floats_of(execution->outputs), fake->expected());
    EXPECT_NEAR(execution->parts.total.count(), sum(execution->parts).count(), 1e-12);
    if (!answered || execution->fell_back) {
      EXPECT_EQ(piece, 9);  // the reply came while the last of eight pieces ran: ours is as good
      break;
    }
    EXPECT_EQ(model->runs, piece);
    EXPECT_NEAR(execution->parts.edge_compute.count(), 0.004, 1e-12);
    // It came when the piece began, and was looked at when that was done.
    EXPECT_NEAR(execution->parts.hedged.count(),
                (execution->parts.network + execution->parts.unread).count(), 1e-12);
    EXPECT_NEAR(execution->parts.unread.count(), 0.002, 1e-12);
    least_left =
        std::min(least_left, 20 - static_cast<int>(execution->parts.hedged.count() * 1e3 + 0.5));
  }
  EXPECT_LT(least_left, 10);
}

TEST_F(HedgeTest, AnErrorWhileTheTailRunsChangesNothing) {
  model->before_run = [&](int run) -> core::Result<void> {
    if (run == 3)
      cloud.answer_with(core::fail(Errc::unavailable, "it broke"));
    return {};
  };
  const auto execution = executor.execute(at(0), fake->example(), {.hedge = Seconds(0)});
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::unavailable);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
  EXPECT_EQ(cloud.cancels, 0);
}

TEST_F(HedgeTest, WhereTheEdgeCannotRunTheTailTheCloudsReplyIsWaitedFor) {
  model->before_run = [&](int run) -> core::Result<void> {
    if (run == 1)
      return {};
    if (run == 3)
      cloud.answer();
    return core::fail(Errc::exhausted, "no memory");
  };
  const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
  ASSERT_TRUE(execution) << execution.error().message();
  EXPECT_FALSE(execution->fell_back);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
}

TEST_F(HedgeTest, WhereNeitherCanThereIsOneClearError) {
  model->before_run = [&](int run) -> core::Result<void> {
    if (run == 1)
      return {};
    return core::fail(Errc::exhausted, "no memory");
  };
  cloud.fail_first = 1;
  const auto execution = executor.execute(at(4), fake->example());
  ASSERT_FALSE(execution);
  EXPECT_EQ(execution.error().what, "no memory");
}

TEST_F(HedgeTest, APieceThatCannotBeCutIsRunWithTheRest) {
  model->before_run = [&](int run) -> core::Result<void> {
    if (run == 4)
      return core::fail(Errc::unsupported, "not for these sizes");
    return {};
  };
  const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
  ASSERT_TRUE(execution);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
  EXPECT_EQ(model->runs, 5);
}

TEST_F(HedgeTest, ACloudThatIsKnownToBeAwayCostsNoEncodingAndNoCall) {
  cloud.endpoints = 0;
  for (int i = 0; i < 100; ++i) {
    const auto execution = executor.execute(at(4), fake->example());
    ASSERT_TRUE(execution);
    EXPECT_TRUE(execution->fell_back);
    EXPECT_EQ(execution->sent, core::Bytes(0));
  }
  EXPECT_EQ(cloud.starts, 0u);
  EXPECT_EQ(cloud.asked, 100);
  EXPECT_EQ(model->runs, 200);  // head and tail, whole
}

TEST_F(HedgeTest, AnotherEndpointIsTriedWhereItIsFasterThanTheEdge) {
  cloud.endpoints = 3;
  cloud.answers_at_once = true;
  cloud.other_takes = milliseconds(10);
  for (const bool faster : {true, false}) {
    cloud.starts = 0;
    cloud.fail_first = 2;
    const Seconds local = milliseconds(faster ? 16 : 10);
    const auto execution = executor.execute(at(4), fake->example(), {.local_tail = local});
    ASSERT_TRUE(execution);
    EXPECT_EQ(floats_of(execution->outputs), fake->expected());
    EXPECT_EQ(execution->fell_back, !faster);
    EXPECT_EQ(cloud.starts, faster ? 3u : 1u);
  }
  EXPECT_EQ(cloud.seen.avoid, 0u);  // the second request began anew
  EXPECT_EQ(cloud.seen.model, model->fingerprint());
}

TEST_F(HedgeTest, ManyEndpointsThatAllFailEndOnTheEdge) {
  cloud.endpoints = 64;
  cloud.fail_first = 1000;
  const auto execution = executor.execute(at(4), fake->example());
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(cloud.starts, 64u);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
}

// The head at one level, what the edge does in the cloud's place at another.
TEST_F(HedgeTest, TheTailRunsUnderItsOwnSettings) {
  int level = -1;
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(std::make_unique<device::ThreadsGovernor>(
      std::vector<int>{10, 11, 12}, 0, [&](int threads) -> core::Result<void> {
        level = threads;
        return {};
      }));
  device::Arbiter arbiter(std::move(governors));
  std::vector<int> levels;  // as each run began
  model->before_run = [&](int) -> core::Result<void> {
    levels.push_back(level);
    return {};
  };
  core::Configuration configuration = at(4);
  configuration.stages.front().levels = {1};
  const std::vector<core::LevelIndex> tail = {2};
  const auto levels_of = [&](exec::Remote* remote, exec::ExecuteOptions options) {
    levels.clear();
    exec::Executor with_knobs(model, &arbiter, remote, {.clock = clock});
    const auto execution = with_knobs.execute(configuration, fake->example(), options);
    EXPECT_TRUE(execution && execution->fell_back);
    EXPECT_NEAR(execution->parts.edge_compute.count(), 0.020, 1e-12);
    EXPECT_NEAR(execution->parts.local_tail.count(), 0.016, 1e-12);
    return levels;
  };
  const std::vector<int> silent = {11, 12, 12, 12, 12, 12, 12, 12, 12};  // in pieces
  EXPECT_EQ(levels_of(&cloud, {.hedge = Seconds(0), .tail_levels = tail}), silent);
  EXPECT_EQ(levels_of(nullptr, {.tail_levels = tail}), (std::vector<int>{11, 12}));
  cloud.fail_first = 1;
  cloud.starts = 0;
  EXPECT_EQ(levels_of(&cloud, {.tail_levels = tail}), (std::vector<int>{11, 12}));
  // None of its own, and one that there is not.
  EXPECT_EQ(levels_of(nullptr, {}), (std::vector<int>{11, 11}));
  const std::vector<core::LevelIndex> none = {7};
  EXPECT_EQ(levels_of(nullptr, {.tail_levels = none}), (std::vector<int>{11, 11}));
}

// A machine's setting that takes time, or cannot be had.
class FakeGovernor final : public device::Governor {
 public:
  explicit FakeGovernor(std::function<core::Result<void>(core::LevelIndex)> set)
      : knob_(test::knob("clock", "MHz", {500, 1000, 2000})), set_(std::move(set)) {}
  const core::Knob& knob() const override { return knob_; }
  core::Result<void> apply(core::LevelIndex level) override { return set_(level); }
  core::Result<std::optional<core::LevelIndex>> current() override { return std::nullopt; }
  core::Result<void> restore() override { return {}; }

 private:
  const core::Knob knob_;
  const std::function<core::Result<void>(core::LevelIndex)> set_;
};

std::vector<std::unique_ptr<device::Governor>> one_governor(
    std::function<core::Result<void>(core::LevelIndex)> set) {
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(std::make_unique<FakeGovernor>(std::move(set)));
  return governors;
}

// It came after 2 ms: the 7 ms behind them say nothing of the link.
TEST_F(HedgeTest, AReplyThatComesWhileTheKnobsAreSetWasUnreadUntilTheyWere) {
  device::Arbiter arbiter(one_governor([&](core::LevelIndex level) -> core::Result<void> {
    if (level == 2) {
      clock->advance(milliseconds(2));
      cloud.answer();
      clock->advance(milliseconds(7));
    }
    return {};
  }));
  exec::Executor with_knobs(model, &arbiter, &cloud, {.clock = clock});
  core::Configuration configuration = at(4);
  configuration.stages.front().levels = {1};
  const std::vector<core::LevelIndex> tail = {2};
  const auto execution = with_knobs.execute(configuration, fake->example(),
                                            {.hedge = Seconds(0), .tail_levels = tail});
  ASSERT_TRUE(execution);
  EXPECT_FALSE(execution->fell_back);
  EXPECT_NEAR(execution->parts.network.count(), 0.002, 1e-12);
  EXPECT_NEAR(execution->parts.unread.count(), 0.007, 1e-12);
  EXPECT_NEAR(execution->parts.hedged.count(), 0, 1e-12);
  EXPECT_NEAR(execution->parts.total.count(), sum(execution->parts).count(), 1e-12);
}

// Another request holds this one at the lowest level unless it keeps what it was promised.
TEST_F(HedgeTest, WhereTheTailsSettingsCannotBeHadItKeepsItsOwn) {
  core::LevelIndex level = 0;
  device::Arbiter arbiter(one_governor([&](core::LevelIndex wanted) -> core::Result<void> {
    if (wanted == 2)
      return core::fail(Errc::refused, "too hot");
    level = wanted;
    return {};
  }));
  const std::vector<core::LevelIndex> low = {0}, tail = {2};
  const auto other = arbiter.acquire(low);
  std::vector<core::LevelIndex> levels;
  model->before_run = [&](int) -> core::Result<void> {
    levels.push_back(level);
    return {};
  };
  core::Configuration configuration = at(4);
  configuration.stages.front().levels = {1};
  exec::Executor with_knobs(model, &arbiter, nullptr, {.clock = clock});
  const auto execution = with_knobs.execute(configuration, fake->example(), {.tail_levels = tail});
  ASSERT_TRUE(execution && execution->fell_back);
  EXPECT_EQ(levels, (std::vector<core::LevelIndex>{1, 1}));
  EXPECT_EQ(level, 0u);
}

// Its reply came while it waited for its turn, and was none: it waits again.
TEST_F(HedgeTest, WaitingForATurnBehindABadReplyIsNoComputing) {
  const auto turns = std::make_shared<exec::Turns>();
  exec::Turn other(turns), mine(turns, exec::Urgency());
  std::thread meanwhile([&] {
    while (turns->waiting() == 0) std::this_thread::yield();
    clock->advance(milliseconds(3));
    cloud.answer_with(std::vector<std::byte>(20));
    // It leaves the queue for the reply.
    while (cloud.distrusts == 0 || turns->waiting() == 0) std::this_thread::yield();
    clock->advance(milliseconds(30));
    other.end();
  });
  const auto execution =
      executor.execute(at(0), fake->example(), {.hedge = Seconds(0), .turn = &mine});
  meanwhile.join();
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::corrupt);
  EXPECT_NEAR(execution->parts.local_tail.count(), 0.020, 1e-12);
  EXPECT_NEAR(execution->parts.edge_compute.count(), 0.020, 1e-12);
  EXPECT_NEAR(execution->parts.abandoned.count(), 0.033, 1e-12);
  EXPECT_NEAR(execution->parts.total.count(), sum(execution->parts).count(), 1e-12);
}

// What the executor has learnt of its steps is shared.
TEST_F(HedgeTest, RequestsOfSeveralThreadsRunTheirTailsAtOnce) {
  class Silent final : public exec::Remote {
   public:
    core::Result<exec::RemoteReply> call(exec::RemoteCall) override {
      return core::fail(Errc::internal, "not used");
    }
    exec::RemoteStart start(exec::RemoteCall, Done) override { return {0, {}}; }
  };
  Silent silent;
  exec::Executor shared(fake, nullptr, &silent, {.clock = clock});
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (std::size_t thread = 0; thread < 4; ++thread)
    threads.emplace_back([&, thread] {
      for (std::size_t i = 0; i < 20; ++i) {
        const auto execution = shared.execute(split_at(*fake, (thread + i) % 20), fake->example(),
                                              {.hedge = Seconds(0)});
        right += execution && floats_of(execution->outputs) == fake->expected() ? 1 : 0;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 80);
}

TEST_F(HedgeTest, AReplyWithAnyBitFlippedIsNoAnswerAndCountsAgainstTheEndpoint) {
  cloud.answers_at_once = true;
  ASSERT_FALSE(executor.execute(at(4), fake->example())->fell_back);
  const auto right = cloud.right_answer();
  ASSERT_TRUE(right);
  cloud.answers_at_once = false;
  std::size_t wrong = 0;
  for (std::size_t bit = 0; bit < right->size() * 8; ++bit) {
    cloud.starts = 0;
    cloud.distrusted.clear();
    auto spoilt = *right;
    spoilt[bit / 8] ^= std::byte{1} << (bit % 8);
    // Answered while the edge runs the tail, before the last piece.
    model->runs = 0;
    model->before_run = [&](int run) -> core::Result<void> {
      if (run == 2)
        cloud.answer_with(spoilt);
      return {};
    };
    const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
    ASSERT_TRUE(execution);
    wrong += floats_of(execution->outputs) != fake->expected() || !execution->fell_back ||
             cloud.distrusted != std::vector<unsigned>{0};
  }
  EXPECT_EQ(wrong, 0u);
}

TEST_F(HedgeTest, AReplyToAnotherRequestIsNoAnswer) {
  cloud.answers_at_once = true;
  core::Values other = fake->example();
  other[0].tensor()->data_as<float>()[3] += 1;
  ASSERT_FALSE(executor.execute(at(4), other)->fell_back);
  const auto mixed_up = cloud.right_answer();
  ASSERT_TRUE(mixed_up);
  cloud.answers_at_once = false;
  cloud.starts = 0;
  model->runs = 0;
  model->before_run = [&](int run) -> core::Result<void> {
    if (run == 2)
      cloud.answer_with(*mixed_up);
    return {};
  };
  const auto execution = executor.execute(at(4), fake->example(), {.hedge = Seconds(0)});
  ASSERT_TRUE(execution);
  EXPECT_TRUE(execution->fell_back);
  EXPECT_EQ(execution->remote_error->code, Errc::corrupt);
  EXPECT_EQ(floats_of(execution->outputs), fake->expected());
}

}  // namespace
}  // namespace cleave::tests
