#include "lib/runtime/energy_split.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"
#include "tests/support/quick_link.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/runtime/shared_edge.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>
#include <vector>

namespace cleave::tests {
namespace {

using core::Errc;
using core::Joules;
using core::milliseconds;
using core::Seconds;
using runtime::EnergySplit;
using Share = EnergySplit::Share;

// Counts what it is told, or so many watts of a clock.
class FakeMeter final : public device::Meter {
 public:
  explicit FakeMeter(const core::Clock* clock = nullptr, double watts = 0)
      : clock_(clock), watts_(watts) {}
  [[nodiscard]] std::string name() const override { return "fake"; }
  [[nodiscard]] core::Result<device::EnergyReading> read() override {
    ++reads;
    if (broken)
      return core::fail(Errc::io, "no reading");
    device::EnergyReading reading;
    reading.joules = Joules(counted + (clock_ != nullptr ? watts_ * clock_->now().count() : 0));
    reading.origin = core::Origin::measured;
    reading.resolution = Joules(resolution);
    return reading;
  }
  std::atomic<double> counted{0};
  std::atomic<int> reads{0};
  double resolution = 0;
  bool broken = false;

 private:
  const core::Clock* clock_;
  const double watts_;
};

TEST(EnergySplit, GivesTheJoulesToThoseWhoComputeAndElseToThoseWhoWaitElsewhere) {
  const auto meter = std::make_shared<FakeMeter>();
  EnergySplit split(meter, core::null_log());
  meter->counted = 100;  // nobody's
  Share a(split, true);
  meter->counted = 110;  // a computes: 10
  Share b(split, false);
  meter->counted = 130;  // a still: 20
  a.computes(false);
  meter->counted = 150;  // both are elsewhere: 10 each
  b.computes(true);
  meter->counted = 157;  // b: 7
  a.computes(true);
  meter->counted = 177;  // both: 10 each
  const auto of_a = a.end();
  meter->counted = 180;  // b: 3
  const auto of_b = b.end();
  meter->counted = 200;  // nobody's
  ASSERT_TRUE(of_a && of_b);
  EXPECT_DOUBLE_EQ(of_a->joules.count(), 50);
  EXPECT_DOUBLE_EQ(of_b->joules.count(), 30);
  EXPECT_EQ(of_a->origin, core::Origin::measured);
  EXPECT_FALSE(a.end());
  EXPECT_DOUBLE_EQ(of_a->joules.count() + of_b->joules.count(), 80);
}

TEST(EnergySplit, SaysNothingOfWhatTheMeterCannotTell) {
  const auto meter = std::make_shared<FakeMeter>();
  meter->resolution = 5;
  EnergySplit split(meter, core::null_log());
  {
    Share small(split, true);
    meter->counted = 4;
    EXPECT_FALSE(small.end());
  }
  Share before(split, true);
  meter->broken = true;
  Share during(split, true);
  meter->broken = false;
  meter->counted = 50;
  Share after(split, true);
  meter->counted = 80;
  EXPECT_FALSE(before.end());
  EXPECT_FALSE(during.end());
  ASSERT_TRUE(after.end());
}

TEST(EnergySplit, ReadsTheMeterTwiceForARequestAlone) {
  const auto meter = std::make_shared<FakeMeter>();
  EnergySplit split(meter, core::null_log());
  Share alone(split, true);
  alone.computes(false);
  alone.computes(true);
  (void)alone.end();
  EXPECT_EQ(meter->reads, 2);
}

class SharedEdgeTest : public testing::Test {
 protected:
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<FakeExecutable> model = std::make_shared<FakeExecutable>(
      std::vector<Seconds>(3, milliseconds(10)), std::int64_t{8}, clock.get());

  runtime::EdgeOptions options() const {
    runtime::EdgeOptions options;
    options.model = model;
    options.table = std::make_shared<table::ParetoTable>(table_of(*model, milliseconds(10)));
    options.clock = clock;
    return options;
  }
  runtime::Request request() const { return {.inputs = model->example()}; }
};

TEST_F(SharedEdgeTest, AClientThatSharesHasNothingOfItsOwn) {
  auto shared = options();
  shared.edge = std::make_shared<runtime::SharedEdge>();
  shared.computing = 2;
  EXPECT_EQ(runtime::EdgeClient::open(shared).error().code, Errc::invalid_argument);
  shared.computing = 1;
  EXPECT_TRUE(runtime::EdgeClient::open(shared));
}

TEST_F(SharedEdgeTest, ABudgetIsOfAllClientsTogether) {
  // All on the edge: 30 ms at 10 W.
  runtime::SharedEdgeOptions with;
  with.budget = *scheduler::EnergyBudget::make({.rate = core::Watts(0.1), .horizon = Seconds(10)},
                                               clock->now());
  const auto budget = with.budget;
  const auto edge = std::make_shared<runtime::SharedEdge>(std::move(with));
  std::vector<std::unique_ptr<runtime::EdgeClient>> clients;
  for (int i = 0; i < 2; ++i) {
    auto shared = options();
    shared.edge = edge;
    clients.push_back(*runtime::EdgeClient::open(std::move(shared)));
  }
  // A bucket of 1 J, and 3 mJ that come in with each request.
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(clients[i % 2]->infer(request()));
  const auto refused = clients[1]->infer(request());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::refused);
  EXPECT_NEAR(budget->spent().count(), 0.9, 1e-9);
  clock->advance(Seconds(3));
  EXPECT_TRUE(clients[0]->infer(request()));
  EXPECT_EQ(edge->streams().waiting() + edge->streams().computing(), 0u);
}

TEST_F(SharedEdgeTest, WhatTheMeterCountsIsLearntAndSettled) {
  // The table says 10 W.
  const auto meter = std::make_shared<FakeMeter>(clock.get(), 17.0);
  auto own = options();
  own.meter = meter;
  own.budget = *scheduler::EnergyBudget::make({.rate = core::Watts(1000)}, clock->now());
  const auto budget = own.budget;
  const auto client = *runtime::EdgeClient::open(std::move(own));
  double joules = 0;
  for (int i = 0; i < 20; ++i) {
    const auto reply = client->infer(request());
    ASSERT_TRUE(reply);
    EXPECT_NEAR(reply->energy.edge_compute.count(), 17 * 0.03, 1e-9);
    joules += reply->energy.total(core::Boundary::edge).count();
    if (i == 0 || i == 19) {
      EXPECT_NEAR(reply->decision.edge_energy.count(), (i == 0 ? 10 : 17) * 0.03,
                  i == 0 ? 1e-9 : 0.02);
    }
  }
  EXPECT_NEAR(budget->spent().count(), joules, 1e-9);
}

// Several clients with a cloud, on real time: every request is answered, and their joules are the
// meter's.
TEST(SharedEdge, ClientsThatOverlapShareTheMetersJoules) {
  const auto model = std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{64});
  const auto models = std::make_shared<exec::ModelStore>();
  models->put(model);
  runtime::CloudServerOptions serving;
  serving.port = 0;
  const auto server = *runtime::CloudServer::start(serving, models);
  const auto link = std::make_shared<runtime::CloudLink>(quick_link(server->port()));
  ASSERT_TRUE(link->wait_connected(Seconds(30)));
  const core::SteadyClock clock;
  const auto meter = std::make_shared<FakeMeter>(&clock, 5.0);
  const auto edge =
      std::make_shared<runtime::SharedEdge>(runtime::SharedEdgeOptions{.meter = meter});
  const Seconds before = clock.now();
  std::atomic<double> joules = 0;
  std::atomic<int> answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        runtime::EdgeOptions options;
        options.model = model;
        options.table = std::make_shared<table::ParetoTable>(table_of(*model));
        options.cloud = link;
        options.edge = edge;
        options.policy = t == 0 ? "all-cloud" : t == 1 ? "all-edge" : "cleave";
        options.stream_priority = static_cast<std::uint8_t>(t + 1);
        const auto client = *runtime::EdgeClient::open(std::move(options));
        for (int i = 0; i < 50; ++i) {
          const auto reply = client->infer({.inputs = model->example()});
          ASSERT_TRUE(reply) << reply.error().message();
          EXPECT_EQ(floats_of(reply->outputs), model->expected());
          joules += reply->energy.edge_compute.count();
          ++answered;
        }
      });
  }
  EXPECT_EQ(answered, 200);
  EXPECT_GT(joules, 0);
  EXPECT_LE(joules, 5.0 * (clock.now() - before).count() * (1 + 1e-9));
  EXPECT_EQ(edge->streams().waiting() + edge->streams().computing(), 0u);
}

}  // namespace
}  // namespace cleave::tests
