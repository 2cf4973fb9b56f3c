// What the edge does in the cloud's place: under which settings, for how long, for how many joules.
#include "tests/support/fake_endpoint.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"
#include "tests/support/knob.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/runtime/cloud.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/runtime/shared_edge.hpp>
#include <cleave/table/local_tails.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;
using table::local_tails;
using Levels = std::vector<core::LevelIndex>;

// A network of four steps of 10 ms at level 1. At level 0 it takes twice as long.
class LocalTailsTest : public testing::Test {
 protected:
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<FakeExecutable> model =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(4, milliseconds(10)), 8, clock.get());

  // Every cut at both levels, those of level 0 first.
  [[nodiscard]] table::ParetoTable both_levels() const {
    table::ParetoTable table = table_of(*model, milliseconds(20));
    const table::ParetoTable fast = table_of(*model, milliseconds(10));
    for (table::TableRow& row : table.rows) row.configuration.stages.front().levels = {0};
    for (table::TableRow row : fast.rows) {
      row.configuration.stages.front().levels = {1};
      row.ingredients.edge_busy = core::Watts(16);
      table.rows.push_back(row);
    }
    table.edge_knobs = {test::knob("clock", "MHz", {500, 1000})};
    table.edge_knobs[0].switch_cost = milliseconds(3);
    return table;
  }

  // Of a client that learns nothing.
  [[nodiscard]] runtime::EdgeOptions options_with(std::shared_ptr<const table::ParetoTable> table,
                                                  std::shared_ptr<runtime::Cloud> cloud,
                                                  std::shared_ptr<device::Arbiter> knobs) const {
    runtime::EdgeOptions options;
    options.model = model;
    options.table = std::move(table);
    options.cloud = std::move(cloud);
    options.knobs = std::move(knobs);
    options.clock = clock;
    options.policy_options.learning.enabled = false;
    return options;
  }
};

TEST_F(LocalTailsTest, ATailRunsWhereItIsDoneFirst) {
  const table::ParetoTable table = both_levels();
  const auto tails = local_tails(table);
  ASSERT_EQ(tails.size(), 10u);
  for (std::size_t cut = 0; cut < 4; ++cut) {
    const double steps = 4.0 - static_cast<double>(cut);
    // 20 ms a step, or 10 ms and 3 ms for the change.
    EXPECT_EQ(tails[cut].levels, Levels{1});
    EXPECT_NEAR(tails[cut].time().count(), steps * 0.010 + 0.003, 1e-12);
    EXPECT_EQ(tails[cut].busy, core::Watts(16));
    EXPECT_EQ(tails[5 + cut].levels, Levels{1});
    EXPECT_NEAR(tails[5 + cut].time().count(), steps * 0.010, 1e-12);
  }
}

TEST_F(LocalTailsTest, ItStaysWhereItIsIfTheChangeCostsMoreThanItSaves) {
  table::ParetoTable table = both_levels();
  table.edge_knobs[0].switch_cost = milliseconds(25);
  const auto tails = local_tails(table);
  EXPECT_EQ(tails[1].levels, Levels{1});  // 30 + 25 against 60 ms
  EXPECT_EQ(tails[2].levels, Levels{0});  // 20 + 25 against 40 ms
  EXPECT_NEAR(tails[2].time().count(), 0.040, 1e-12);
  EXPECT_EQ(tails[2].busy, core::Watts(10));
}

TEST_F(LocalTailsTest, SettingsThatAreLessAccurateDoNotCount) {
  table::ParetoTable table = both_levels();
  table.rows.back().ingredients.accuracy.value = 0.8;  // all-edge at level 1
  const auto tails = local_tails(table);
  EXPECT_EQ(tails[0].levels, Levels{0});
  EXPECT_NEAR(tails[0].time().count(), 0.080, 1e-12);
  EXPECT_EQ(tails[5].levels, Levels{1});  // where it is
  // A codec's luck is nothing that the edge must have.
  table = both_levels();
  table.rows[0].ingredients.accuracy.value = 2;
  EXPECT_EQ(local_tails(table)[0].levels, Levels{1});
  table.rows.erase(table.rows.begin() + 4);
  EXPECT_EQ(local_tails(table)[0].levels, Levels{1});
}

TEST_F(LocalTailsTest, WithoutAnAllEdgeRowOfItsSettingsTheFastestCounts) {
  table::ParetoTable table = both_levels();
  table.rows.erase(table.rows.begin() + 4);  // all-edge at level 0
  const auto tails = local_tails(table);
  EXPECT_EQ(tails[0].levels, Levels{1});
  EXPECT_NEAR(tails[0].time().count(), 0.043, 1e-12);
  EXPECT_NEAR(tails[1].time().count(), 0.023, 1e-12);  // 40 - 20 ms, and the change
  table.rows.pop_back();
  const auto none = local_tails(table);
  EXPECT_EQ(none[0].time(), Seconds(0));
  EXPECT_EQ(none[0].levels, Levels{0});
}

// Or under those of the head, where its own cannot be had.
TEST_F(LocalTailsTest, AClientRunsItThereAndCountsItsJoules) {
  for (const bool hot : {false, true}) {
    int level = -1;
    std::vector<std::unique_ptr<device::Governor>> governors;
    governors.push_back(std::make_unique<device::ThreadsGovernor>(
        std::vector<int>{500, 1000}, 0, [&](int threads) -> core::Result<void> {
          if (hot && threads == 1000)
            return core::fail(core::Errc::refused, "too hot");
          level = threads;
          return {};
        }));
    auto table = std::make_shared<table::ParetoTable>(both_levels());
    device::ArbiterOptions timed;
    timed.clock = clock;
    auto arbiter = std::make_shared<device::Arbiter>(std::move(governors), timed);
    table->edge_knobs = arbiter->knobs();
    // The cheapest row, and the only one that keeps to the floor.
    constexpr std::uint32_t row = 2;
    table->rows[row].ingredients.accuracy.value = 1;
    for (std::uint32_t other = 0; other < table->rows.size(); ++other)
      if (other != row && table->rows[other].ingredients.uses_cloud)
        table->rows[other].ingredients.accuracy.value = 0.5;
    auto cloud = std::make_shared<FakeEndpoint>("cloud");  // every call fails
    const auto client = runtime::EdgeClient::open(options_with(table, cloud, arbiter));
    ASSERT_TRUE(client) << client.error().message();
    const auto reply = (*client)->infer({.inputs = model->example(), .accuracy_floor = 0.9});
    ASSERT_TRUE(reply) << reply.error().message();
    ASSERT_EQ(reply->decision.row, row);
    EXPECT_TRUE(reply->fell_back);
    EXPECT_EQ(floats_of(reply->outputs), model->expected());
    EXPECT_EQ(level, hot ? 500 : 1000);
    // The clock moves only while steps run: two of 10 ms at 10 W, two at 16 W.
    EXPECT_NEAR(reply->latency.edge_compute.count(), 0.040, 1e-12);
    EXPECT_NEAR(reply->energy.edge_compute.count(), 0.020 * 10 + 0.020 * (hot ? 10 : 16), 1e-9);
  }
}

// Moves a little with each look at it, as real ones do.
class TickingClock final : public core::Clock {
 public:
  Seconds now() const override { return core::microseconds(static_cast<double>(++looks_)); }

 private:
  mutable std::atomic<int> looks_ = 0;
};

// Answers a call when the test says so.
class HeldCloud final : public runtime::Cloud {
 public:
  HeldCloud(std::shared_ptr<const core::Executable> model, std::shared_ptr<const core::Clock> clock)
      : service_(models_, nullptr, std::move(clock)) {
    models_.put(std::move(model));
  }
  exec::RemoteStart start(exec::RemoteCall call, Done done) override {
    EXPECT_TRUE(exec::gather(call));
    alternative = call.choice.alternative;
    body_ = std::move(call.body);
    done_ = std::move(done);
    if (answers_at_once)
      answer();
    return {0, {}};
  }
  void answer() { done_(exec::RemoteReply{*service_.tail(body_), {}, {}, {}, {}}); }
  [[nodiscard]] bool reachable() const override { return true; }
  [[nodiscard]] std::optional<table::LinkState> estimate() const override { return std::nullopt; }
  [[nodiscard]] Seconds queue() const override { return {}; }
  [[nodiscard]] bool serves(core::Fingerprint) const override { return there; }
  [[nodiscard]] core::Result<void> require(core::Fingerprint) override { return {}; }
  [[nodiscard]] std::string where() const override { return "held"; }
  bool answers_at_once = false, there = true;
  Seconds alternative;  // that the last call had to the cloud

 private:
  exec::ModelStore models_;
  exec::InferService service_;
  std::vector<std::byte> body_;
  Done done_;
};

// It waits for its turn behind another request when its reply comes, and changes no knob.
TEST_F(LocalTailsTest, ATailThatDidNotBeginHasChangedNoKnob) {
  const auto ticking = std::make_shared<TickingClock>();
  int level = -1;
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(std::make_unique<device::ThreadsGovernor>(
      std::vector<int>{500, 1000}, 0, [&](int threads) -> core::Result<void> {
        level = threads;
        return {};
      }));
  auto table = std::make_shared<table::ParetoTable>(both_levels());
  const auto arbiter = std::make_shared<device::Arbiter>(std::move(governors));
  table->edge_knobs = arbiter->knobs();
  table->edge_knobs[0].switch_cost = milliseconds(3);
  for (table::TableRow& row : table->rows)
    if (&row != &table->rows[0] && row.ingredients.uses_cloud)
      row.ingredients.accuracy.value = 0.5;
  const auto cloud = std::make_shared<HeldCloud>(model, ticking);
  runtime::EdgeOptions options = options_with(table, cloud, arbiter);
  options.clock = ticking;
  options.edge = std::make_shared<runtime::SharedEdge>();
  const auto turns = options.edge->turns();
  const auto client = runtime::EdgeClient::open(std::move(options));
  ASSERT_TRUE(client) << client.error().message();
  // All in the cloud, at level 0. The last moment for the tail at level 1, 43 ms, is soon.
  const runtime::Request request{
      .inputs = model->example(), .deadline = milliseconds(44), .accuracy_floor = 0.9};
  {
    exec::Turn other(turns);
    std::thread answers([&] {
      while (turns->waiting() == 0) std::this_thread::yield();
      cloud->answer();
    });
    const auto reply = (*client)->infer(request);
    answers.join();
    ASSERT_TRUE(reply) << reply.error().message();
    ASSERT_EQ(reply->decision.row, 0u);
    EXPECT_FALSE(reply->fell_back);
    EXPECT_EQ(level, 500);
  }
  cloud->answers_at_once = true;
  const auto next = (*client)->infer(request);
  ASSERT_TRUE(next) << next.error().message();
  EXPECT_EQ(next->decision.row, 0u);
  EXPECT_EQ(next->decision.switching, Seconds(0));
}

// The table has the edge twice as fast as it is.
TEST_F(LocalTailsTest, ItTakesWhatTheEdgeWasLearntToTake) {
  const auto cloud = std::make_shared<HeldCloud>(model, clock);
  cloud->answers_at_once = true;
  runtime::EdgeOptions options = options_with(
      std::make_shared<table::ParetoTable>(table_of(*model, milliseconds(5))), cloud, nullptr);
  options.policy_options.learning.enabled = true;
  const auto client = runtime::EdgeClient::open(std::move(options));
  ASSERT_TRUE(client) << client.error().message();
  const runtime::Request request{.inputs = model->example()};
  for (const double steps_take : {5, 10}) {
    cloud->there = true;
    const auto away = (*client)->infer(request);
    ASSERT_TRUE(away) << away.error().message();
    ASSERT_EQ(away->decision.row, 0u);
    EXPECT_NEAR(cloud->alternative / milliseconds(4 * steps_take), 1, 0.02);
    cloud->there = false;
    for (int i = 0; i < 200; ++i) ASSERT_TRUE((*client)->infer(request));
  }
}

// The cloud is the cheaper, but a tail beside it from the last moment on makes it dearer than the
// edge at its low clock.
TEST_F(LocalTailsTest, AClientThatHedgesAtTheLastMomentDecidesWithWhatThatCosts) {
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(std::make_unique<device::ThreadsGovernor>(
      std::vector<int>{500, 1000}, 0, [](int) -> core::Result<void> { return {}; }));
  const auto arbiter = std::make_shared<device::Arbiter>(std::move(governors));
  auto table = std::make_shared<table::ParetoTable>(both_levels());
  table->edge_knobs = arbiter->knobs();
  for (table::TableRow& row : table->rows) {
    if (row.configuration.stages.front().levels == Levels{0})
      row.ingredients.edge_busy = core::Watts(4);
    row.ingredients.edge_idle = core::Watts(2);
    row.ingredients.cloud_compute = milliseconds(70);
    row.ingredients.cloud_device = core::Watts(0);
  }
  for (const auto hedge : {runtime::Hedge::last_moment, runtime::Hedge::overdue}) {
    const auto cloud = std::make_shared<HeldCloud>(model, clock);
    cloud->answers_at_once = true;
    runtime::EdgeOptions options = options_with(table, cloud, arbiter);
    options.hedge = hedge;
    const auto client = runtime::EdgeClient::open(std::move(options));
    ASSERT_TRUE(client) << client.error().message();
    // 80 ms at 4 W; or 70 ms at 2 W, and from 85 - 40 ms on at 16 W.
    const auto tight = (*client)->infer({.inputs = model->example(), .deadline = milliseconds(85)});
    ASSERT_TRUE(tight) << tight.error().message();
    EXPECT_EQ(tight->decision.row, hedge == runtime::Hedge::overdue ? 0u : 4u);
    EXPECT_EQ(tight->decision.hedging, core::Joules());
    // Where the reply is there first, the two are one.
    const auto loose =
        (*client)->infer({.inputs = model->example(), .deadline = milliseconds(150)});
    ASSERT_TRUE(loose) << loose.error().message();
    EXPECT_EQ(loose->decision.row, 0u);
    EXPECT_EQ(loose->hedged, Seconds(0));
  }
}

}  // namespace
}  // namespace cleave::tests
