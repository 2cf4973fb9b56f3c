#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"
#include "tests/support/quick_link.hpp"

#include <cleave/exec/paced.hpp>
#include <cleave/runtime/cloud_group.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/transport/relay.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;

transport::RelayOptions relay_to(std::uint16_t port) {
  transport::RelayOptions options;
  options.target_port = port;
  return options;
}

// A model of three steps that take no time, its table of one row per cut, and a cloud on loopback.
class EdgeClientTest : public testing::Test {
 protected:
  std::shared_ptr<FakeExecutable> model =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{64});
  std::shared_ptr<exec::ModelStore> models = std::make_shared<exec::ModelStore>();

  EdgeClientTest() { models->put(model); }

  [[nodiscard]] table::ParetoTable make_table() const { return table_of(*model); }

  std::unique_ptr<runtime::CloudServer> serve(std::uint16_t port = 0) {
    runtime::CloudServerOptions options;
    options.port = port;
    auto server = runtime::CloudServer::start(options, models);
    EXPECT_TRUE(server) << server.error().message();
    return server ? std::move(*server) : nullptr;
  }

  static std::shared_ptr<runtime::CloudLink> connect(std::uint16_t port) {
    auto link = std::make_shared<runtime::CloudLink>(quick_link(port));
    const auto connected = link->wait_connected(Seconds(30));
    EXPECT_TRUE(connected) << connected.error().message();
    return link;
  }

  std::unique_ptr<runtime::EdgeClient> open(std::shared_ptr<runtime::CloudLink> link,
                                            const std::string& policy = "cleave", int workers = 1) {
    runtime::EdgeOptions options;
    options.model = model;
    options.table = std::make_shared<table::ParetoTable>(make_table());
    options.cloud = std::move(link);
    options.policy = policy;
    options.workers = workers;
    auto client = runtime::EdgeClient::open(std::move(options));
    EXPECT_TRUE(client) << client.error().message();
    return client ? std::move(*client) : nullptr;
  }

  runtime::Request request() const { return {.inputs = model->example()}; }
};

TEST_F(EdgeClientTest, EveryPolicyGivesWhatTheWholeNetworkGives) {
  const auto server = serve();
  const auto link = connect(server->port());
  for (const std::string_view policy : scheduler::policy_names()) {
    const auto client = open(link, std::string(policy));
    ASSERT_TRUE(client);
    const auto reply = client->infer(request());
    ASSERT_TRUE(reply) << policy << ": " << reply.error().message();
    EXPECT_EQ(floats_of(reply->outputs), model->expected()) << policy;
    EXPECT_FALSE(reply->fell_back) << policy;
    EXPECT_EQ(reply->energy.origin, core::Origin::modelled);
    EXPECT_NEAR(reply->latency.total().count(), reply->total.count(), 0.05);
  }
}

TEST_F(EdgeClientTest, WithoutACloudEverythingRunsOnTheEdge) {
  const auto client = open(nullptr);
  const auto reply = client->infer(request());
  ASSERT_TRUE(reply);
  EXPECT_EQ(client->table().rows[reply->decision.row].label, "after 3");
  EXPECT_FALSE(reply->fell_back);
  EXPECT_EQ(floats_of(reply->outputs), model->expected());
}

TEST_F(EdgeClientTest, AKilledCloudLosesNoRequestAndIsUsedAgainWhenItIsBack) {
  auto server = serve();
  const std::uint16_t port = server->port();
  auto relay = transport::Relay::start(relay_to(port));
  ASSERT_TRUE(relay);
  const auto link = connect((*relay)->port());
  const auto client = open(link, "all-cloud");
  ASSERT_TRUE(client->infer(request()));
  (*relay)->kill_connections();
  server.reset();
  for (int i = 0; i < 20; ++i) {
    const auto reply = client->infer(request());
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(floats_of(reply->outputs), model->expected());
  }
  // "cleave" does not even try while the cloud is known to be away.
  const auto careful = open(link);
  while (link->reachable()) std::this_thread::yield();
  const auto local = careful->infer(request());
  ASSERT_TRUE(local);
  EXPECT_FALSE(local->fell_back);
  EXPECT_EQ(careful->table().rows[local->decision.row].label, "after 3");

  server = serve(port);
  const auto connected = link->wait_connected(Seconds(30));
  ASSERT_TRUE(connected) << connected.error().message();
  const auto back = client->infer(request());
  ASSERT_TRUE(back);
  EXPECT_FALSE(back->fell_back) << back->cloud_error->message();
}

TEST_F(EdgeClientTest, AStalledLinkEndsOnTheEdgeAfterThePatience) {
  const auto server = serve();
  auto relay = transport::Relay::start(relay_to(server->port()));
  ASSERT_TRUE(relay);
  const auto client = open(connect((*relay)->port()), "all-cloud");
  (*relay)->set_state(transport::LinkState::stalled);
  runtime::Request urgent = request();
  urgent.deadline = milliseconds(50);
  const auto reply = client->infer(urgent);
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->fell_back);
  EXPECT_EQ(reply->cloud_error->code, Errc::timed_out);
  EXPECT_EQ(floats_of(reply->outputs), model->expected());
}

TEST_F(EdgeClientTest, ARequestOfABrokenEndpointIsFinishedByTheOtherOne) {
  // Both ways to notice: a call that breaks, and a connection that is known to be broken.
  std::vector<std::unique_ptr<runtime::CloudServer>> servers;
  std::vector<std::shared_ptr<runtime::Cloud>> links;
  for (int i = 0; i < 2; ++i) {
    servers.push_back(serve());
    links.push_back(connect(servers.back()->port()));
  }
  const auto group = *runtime::CloudGroup::make(links);
  runtime::EdgeOptions options;
  options.model = model;
  // Alone the edge would take minutes, so any endpoint is faster.
  options.table = std::make_shared<table::ParetoTable>(table_of(*model, Seconds(100)));
  options.cloud = group;
  options.policy = "all-cloud";
  const auto client = runtime::EdgeClient::open(std::move(options)).value();
  for (int gone = 0; gone <= 2; ++gone) {
    if (gone > 0)
      servers[static_cast<std::size_t>(gone - 1)].reset();
    for (int i = 0; i < 20; ++i) {
      const auto reply = client->infer(request());
      ASSERT_TRUE(reply) << reply.error().message();
      EXPECT_EQ(reply->fell_back, gone == 2);
      EXPECT_EQ(floats_of(reply->outputs), model->expected());
    }
  }
}

TEST_F(EdgeClientTest, SubmittedRequestsAllCompleteWhoeverSubmitsThem) {
  const auto server = serve();
  const auto client = open(connect(server->port()), "cleave", 2);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      std::vector<std::future<core::Result<runtime::Reply>>> futures;
      for (int i = 0; i < 10; ++i) futures.push_back(client->submit(request()));
      for (auto& future : futures)
        if (const auto reply = future.get();
            reply && floats_of(reply->outputs) == model->expected())
          ++right;
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 40);
}

TEST_F(EdgeClientTest, MoreRequestsThanMayWaitAreTurnedAway) {
  std::promise<void> entered, gate;
  std::atomic<bool> first{true};
  exec::PaceTime time;  // the first request waits at the gate
  time.now =
      time.cpu = [count = std::make_shared<std::atomic<int>>(0)] { return Seconds(++*count); };
  time.sleep_until = [&](Seconds) {
    if (first.exchange(false)) {
      entered.set_value();
      gate.get_future().wait();
    }
  };
  device::PaceGovernor pace(core::edge_host, {{"half", 0.5}});
  ASSERT_TRUE(pace.apply(0));
  runtime::EdgeOptions options;
  options.model = std::make_shared<exec::PacedExecutable>(model, pace.pace(), time);
  options.table = std::make_shared<table::ParetoTable>(make_table());
  options.max_queued = 2;
  const auto client = runtime::EdgeClient::open(options).value();
  std::vector<std::future<core::Result<runtime::Reply>>> accepted;
  accepted.push_back(client->submit(request()));
  entered.get_future().wait();
  for (int i = 0; i < 2; ++i) accepted.push_back(client->submit(request()));
  EXPECT_EQ(client->submit(request()).get().error().code, Errc::exhausted);
  gate.set_value();
  for (auto& future : accepted) EXPECT_EQ(floats_of(future.get()->outputs), model->expected());
}

TEST_F(EdgeClientTest, OtherModelsAndTablesAreNamed) {
  const auto server = serve();
  const auto link = connect(server->port());
  runtime::EdgeOptions options;
  options.model =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{64}, nullptr, 99);
  options.table = std::make_shared<table::ParetoTable>(make_table());
  options.cloud = link;
  EXPECT_EQ(runtime::EdgeClient::open(options).error().code, Errc::mismatch);
  options.model = std::make_shared<FakeExecutable>(std::vector<Seconds>(4), std::int64_t{64});
  options.cloud = nullptr;
  EXPECT_EQ(runtime::EdgeClient::open(options).error().code, Errc::mismatch);
  options.model = nullptr;
  EXPECT_EQ(runtime::EdgeClient::open(options).error().code, Errc::invalid_argument);
}

TEST_F(EdgeClientTest, AMeterMeasuresTheEdgesPartAndOnlyThatIsCalledMeasured) {
  // Two joules between any two readings.
  class FakeMeter final : public device::Meter {
   public:
    std::string name() const override { return "fake"; }
    core::Result<device::EnergyReading> read() override {
      reading.joules += core::Joules(2);
      return reading;
    }
    device::EnergyReading reading;
  };
  const auto meter = std::make_shared<FakeMeter>();
  meter->reading.origin = core::Origin::measured;
  for (const core::Boundary boundary : {core::Boundary::edge, core::Boundary::edge_cloud_device}) {
    auto table = make_table();
    table.boundary = boundary;
    runtime::EdgeOptions options;
    options.model = model;
    options.table = std::make_shared<table::ParetoTable>(table);
    options.meter = meter;
    const auto client = runtime::EdgeClient::open(std::move(options));
    ASSERT_TRUE(client);
    meter->reading.resolution = core::Joules(1e-6);
    const auto reply = (*client)->infer(request());
    ASSERT_TRUE(reply);
    EXPECT_DOUBLE_EQ(reply->energy.total(core::Boundary::edge).count(), 2);
    EXPECT_EQ(reply->energy.origin,
              boundary == core::Boundary::edge ? core::Origin::measured : core::Origin::modelled);
    // A meter that does not see so little measures nothing.
    meter->reading.resolution = core::Joules(3);
    const auto unresolved = (*client)->infer(request());
    ASSERT_TRUE(unresolved);
    EXPECT_NE(unresolved->energy.total(core::Boundary::edge).count(), 2);
    EXPECT_EQ(unresolved->energy.origin, core::Origin::modelled);
  }
}

TEST_F(EdgeClientTest, APolicyThatPrefersNoAnswerRefuses) {
  runtime::EdgeOptions options;
  options.model = model;
  options.table = std::make_shared<table::ParetoTable>(make_table());
  options.policy_options.on_miss = scheduler::OnMiss::refuse;
  const auto client = runtime::EdgeClient::open(std::move(options));
  ASSERT_TRUE(client);
  runtime::Request hopeless = request();
  hopeless.deadline = core::microseconds(1);
  const auto reply = (*client)->infer(hopeless);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::refused);
  EXPECT_EQ(reply.error().hint, "");
  hopeless.explain = true;
  const auto explained = (*client)->infer(hopeless);
  ASSERT_FALSE(explained);
  EXPECT_THAT(explained.error().hint, testing::HasSubstr("the soonest is "));
}

TEST_F(EdgeClientTest, ExplainsItsDecisionIfAsked) {
  runtime::EdgeOptions options;
  options.model = model;
  options.table = std::make_shared<table::ParetoTable>(make_table());
  const auto client = runtime::EdgeClient::open(std::move(options));
  ASSERT_TRUE(client);
  runtime::Request wanted = request();
  EXPECT_EQ((*client)->infer(wanted).value().explanation, "");
  wanted.explain = true;
  const auto reply = (*client)->infer(wanted).value();
  const std::string& label = (*client)->table().rows[reply.decision.row].label;
  EXPECT_THAT(reply.explanation, testing::StartsWith(label + ": "));
}

TEST_F(EdgeClientTest, ATakenPortIsNamed) {
  const auto server = serve();
  runtime::CloudServerOptions options;
  options.port = server->port();
  const auto second = runtime::CloudServer::start(options, models);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::in_use);
}

TEST_F(EdgeClientTest, ALinkToNobodySaysSo) {
  runtime::CloudLinkOptions options;
  options.host = "127.0.0.1";
  options.port = 1;
  runtime::CloudLink link(options);
  const auto connected = link.wait_connected(milliseconds(200));
  ASSERT_FALSE(connected);
  EXPECT_EQ(connected.error().code, Errc::unavailable);
  EXPECT_FALSE(link.call({"infer", "tail", {}, 1, Seconds(0), Seconds(1)}));
}

}  // namespace
}  // namespace cleave::tests
