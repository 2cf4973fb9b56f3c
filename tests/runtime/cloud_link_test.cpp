#include "lib/transport/asio.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/quick_link.hpp"

#include <cleave/exec/infer_protocol.hpp>
#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/transport/protocol.hpp>
#include <cleave/transport/queue_estimator.hpp>
#include <cleave/transport/relay.hpp>

#include <boost/asio/read_until.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <future>
#include <thread>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;
using runtime::Breaker;

// Longer than any test: a call that ends before did not wait for it.
constexpr Seconds hour(3600);

// A server with services of its own behind a relay, and a link to it whose heartbeats are too rare
// to matter unless a test says otherwise.
class CloudLinkTest : public testing::Test {
 protected:
  using Bytes = std::vector<std::byte>;
  using Reply = core::Result<exec::RemoteReply>;

  CloudLinkTest() {
    models->put(model);
    runtime::CloudServerOptions serving;
    serving.port = 0;
    serving.workers = 2;
    const auto service = [](std::string method, runtime::ServiceHandler handler) {
      return std::tuple<std::string, std::string, runtime::ServiceHandler>("test", method, handler);
    };
    server = *runtime::CloudServer::start(
        serving, models,
        {service("echo",
                 [this](std::span<const std::byte> body) -> core::Result<Bytes> {
                   ++echoed;
                   return Bytes(body.begin(), body.end());
                 }),
         service("hold",
                 [this](std::span<const std::byte>) -> core::Result<Bytes> {
                   ++held;
                   held.notify_all();
                   gate.wait();
                   return Bytes();
                 }),
         service("refuse", [](std::span<const std::byte>) -> core::Result<Bytes> {
           return core::fail(Errc::refused, "not today");
         })});
    transport::RelayOptions between;
    between.target_port = server->port();
    relay = *transport::Relay::start(between);
    options = quiet_link(relay->port());
  }
  ~CloudLinkTest() override {
    opened.set_value();  // or the server would wait for its handlers
  }

  std::unique_ptr<runtime::CloudLink> connect() {
    auto link = std::make_unique<runtime::CloudLink>(options);
    const auto connected = link->wait_connected(Seconds(60));
    EXPECT_TRUE(connected) << connected.error().message();
    return link;
  }

  static exec::RemoteCall call_of(const char* method, Seconds patience) {
    exec::RemoteCall call;
    call.service = "test";
    call.method = method;
    call.body = Bytes(100);
    call.patience = patience;
    return call;
  }

  void wait_until_held(int count) {
    for (int now = held; now < count; now = held) held.wait(now);
  }

  template <class F>
  static bool comes_true(F f) {
    const core::SteadyClock clock;
    for (const Seconds until = clock.now() + Seconds(60); !f(); std::this_thread::yield())
      if (clock.now() > until)
        return false;
    return true;
  }

  std::promise<void> opened;
  std::shared_future<void> gate = opened.get_future().share();
  std::atomic<int> echoed{0}, held{0};
  std::shared_ptr<FakeExecutable> model =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{8});
  std::shared_ptr<exec::ModelStore> models = std::make_shared<exec::ModelStore>();
  std::unique_ptr<runtime::CloudServer> server;
  std::unique_ptr<transport::Relay> relay;
  runtime::CloudLinkOptions options;
};

TEST_F(CloudLinkTest, CallsUnderWayOnABrokenConnectionFailAtOnceAndTheLinkComesBack) {
  const auto link = connect();
  std::vector<std::future<Reply>> calls;
  for (int i = 0; i < 2; ++i)
    calls.push_back(
        std::async(std::launch::async, [&] { return link->call(call_of("hold", hour)); }));
  wait_until_held(2);
  relay->kill_connections();
  for (auto& call : calls) EXPECT_EQ(call.get().error().code, Errc::unavailable);
  EXPECT_EQ(link->state().opened, 1u);
  opened.set_value();
  EXPECT_TRUE(link->wait_connected(Seconds(60)));
  EXPECT_TRUE(link->call(call_of("echo", hour)));
  opened = {};
}

TEST_F(CloudLinkTest, AStalledLinkCostsOneCallItsPatienceAndLaterOnesNothing) {
  options.probe_timeout = milliseconds(50);
  const auto link = connect();
  ASSERT_TRUE(link->call(call_of("echo", hour)));
  relay->set_state(transport::LinkState::stalled);
  EXPECT_EQ(link->call(call_of("echo", milliseconds(100))).error().code, Errc::timed_out);
  EXPECT_FALSE(link->reachable());
  for (int i = 0; i < 1000; ++i)  // of which not one is sent
    EXPECT_EQ(link->call(call_of("echo", hour)).error().code, Errc::unavailable);
  relay->set_state(transport::LinkState::moving);
  EXPECT_TRUE(link->wait_connected(Seconds(60)));
  EXPECT_TRUE(link->call(call_of("echo", hour)));
  EXPECT_LE(echoed, 3);
}

TEST_F(CloudLinkTest, ManyShortWaitsInVainAreAsSuspiciousAsALongOne) {
  options.probe_timeout = hour;  // it stays open once it is
  const auto link = connect();
  ASSERT_TRUE(link->call(call_of("echo", hour)));
  relay->set_state(transport::LinkState::stalled);
  int calls = 0;
  for (; link->reachable(); ++calls) {
    std::promise<Reply> answer;
    const auto started = link->start(call_of("echo", hour),
                                     [&](Reply reply) { answer.set_value(std::move(reply)); });
    if (started.cancel)
      started.cancel();
    answer.get_future().wait();
  }
  EXPECT_GT(calls, 1);  // the first says too little
}

TEST_F(CloudLinkTest, SilenceIsALostConnection) {
  options.heartbeat = milliseconds(20);
  const auto link = connect();
  auto call = std::async(std::launch::async, [&] { return link->call(call_of("hold", hour)); });
  wait_until_held(1);
  relay->lose(transport::LinkDirection::down);
  EXPECT_EQ(call.get().error().code, Errc::unavailable);
}

TEST_F(CloudLinkTest, RefusalsInARowOpenTheBreakerAndASuccessBetweenThemDoesNot) {
  options.first_backoff = options.last_backoff = Seconds(30);
  const auto link = connect();
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(link->call(call_of("refuse", hour)).error().code, Errc::refused);
    EXPECT_EQ(link->call(call_of("refuse", hour)).error().code, Errc::refused);
    EXPECT_TRUE(link->call(call_of("echo", hour)));
  }
  EXPECT_TRUE(link->reachable());
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(link->call(call_of("refuse", hour)));
  EXPECT_EQ(link->state().breaker, Breaker::State::open);
  EXPECT_EQ(link->call(call_of("echo", hour)).error().code, Errc::unavailable);
}

TEST_F(CloudLinkTest, RepliesThatMakeNoSenseOpenTheBreaker) {
  options.first_backoff = options.last_backoff = Seconds(30);
  const auto link = connect();
  for (int i = 0; i < 3; ++i) link->distrust(0);
  EXPECT_FALSE(link->reachable());
}

TEST_F(CloudLinkTest, ALateCallIsNoSuspicionWhereOthersAreAnswered) {
  const auto link = connect();
  auto late = std::async(std::launch::async,
                         [&] { return link->call(call_of("hold", milliseconds(200))); });
  wait_until_held(1);
  while (late.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
    EXPECT_TRUE(link->call(call_of("echo", hour)));
  EXPECT_EQ(late.get().error().code, Errc::timed_out);
  EXPECT_TRUE(link->reachable());
}

TEST_F(CloudLinkTest, ACancelledCallCompletesOnceWhateverComesFirst) {
  const auto link = connect();
  for (int i = 0; i < 200; ++i) {
    std::atomic<int> answers{0};
    const auto started = link->start(call_of("echo", hour), [&](Reply) {
      ++answers;
      answers.notify_all();
    });
    if (!started.cancel)
      continue;  // the breaker is open for a moment
    started.cancel();
    answers.wait(0);
    started.cancel();
    (void)link->call(call_of("echo", hour));  // whatever was still under way is through
    EXPECT_EQ(answers, 1);
  }
}

TEST_F(CloudLinkTest, AModelThatTheCloudGetsLaterIsFound) {
  const auto link = connect();
  const auto other = std::make_shared<FakeExecutable>(std::vector<Seconds>(5), std::int64_t{8});
  EXPECT_TRUE(link->require(model->fingerprint()));
  EXPECT_TRUE(link->serves(model->fingerprint()));
  EXPECT_EQ(link->require(other->fingerprint()).error().code, Errc::mismatch);
  EXPECT_FALSE(link->serves(other->fingerprint()));
  EXPECT_TRUE(link->reachable());  // for the other one
  models->put(other);
  EXPECT_TRUE(comes_true([&] { return link->serves(other->fingerprint()); }));
}

TEST_F(CloudLinkTest, AnIdleLinkIsMeasuredAndItsChangeNoticedWithoutARequest) {
  options.probe_idle = true;
  options.estimator.first_probe = options.estimator.last_probe = milliseconds(50);
  const core::BytesPerSecond slow(1e6), fast(8e6);
  ASSERT_TRUE(relay->set_link(slow, fast, milliseconds(2), Seconds(0)));
  const auto link = connect();
  const auto is = [&](core::BytesPerSecond up, core::BytesPerSecond down) {
    const auto estimate = link->link();
    return estimate && estimate->up_measured && estimate->down_measured &&
           std::abs(std::log(estimate->up / up)) < std::log(1.5) &&
           std::abs(std::log(estimate->down / down)) < std::log(1.5) &&
           estimate->up_confidence > 0.5 && estimate->up_age < Seconds(30);
  };
  EXPECT_TRUE(comes_true([&] { return is(slow, fast); }));
  EXPECT_GE(link->link()->round_trip, milliseconds(4));
  ASSERT_TRUE(relay->set_link(fast, slow, milliseconds(2), Seconds(0)));
  EXPECT_TRUE(comes_true([&] { return is(fast, slow); }));
  EXPECT_EQ(echoed + held, 0);
}

// Two calls of somebody else keep both workers, and a third one waits.
TEST_F(CloudLinkTest, AQueueThatIsGoneIsNoticedWithoutARequest) {
  const auto other = connect();
  options.probe_idle = true;
  options.estimator.first_probe = options.estimator.last_probe = hour;
  const auto time = std::make_shared<core::ManualClock>();
  options.clock = time;
  const auto link = connect();
  std::vector<std::future<Reply>> calls;
  for (int i = 0; i < 2; ++i)
    calls.push_back(
        std::async(std::launch::async, [&] { return other->call(call_of("hold", hour)); }));
  wait_until_held(2);
  std::promise<Reply> third;
  link->start(call_of("echo", hour), [&](Reply reply) { third.set_value(std::move(reply)); });
  // If it is not there by then its wait is short, and there is nothing to notice.
  const core::SteadyClock clock;
  const Seconds enough = clock.now() + 10.0 * transport::QueueEstimator::ignored;
  EXPECT_TRUE(comes_true([&] { return clock.now() > enough; }));
  opened.set_value();
  for (auto& call : calls) EXPECT_TRUE(call.get());
  EXPECT_TRUE(third.get_future().get());
  opened = {};
  // On a busy machine what asks may wait for a while, too. All in all too little time for the queue
  // to fade.
  using Estimator = transport::QueueEstimator;
  constexpr int times = 15;
  ASSERT_LT(Estimator::interval * times, Estimator::first_hold);
  for (int i = 0; i < times && link->queue() >= Estimator::ignored; ++i) {
    time->advance(Estimator::interval);
    const Seconds before = link->queue();  // the clock stands: from now on only news changes it
    (void)comes_true([&] { return link->queue() != before || before < Estimator::ignored; });
  }
  EXPECT_LT(link->queue(), Estimator::ignored);
  EXPECT_EQ(echoed, 1);
}

TEST_F(CloudLinkTest, NothingOfALinkIsLeftWhenItHasGone) {
  // Connecting to somebody who says nothing, asking a cloud that does not answer, and in use.
  boost::asio::io_context context;
  boost::asio::ip::tcp::acceptor mute(context, {boost::asio::ip::address_v4::loopback(), 0});
  const auto clock = std::make_shared<core::SteadyClock>();
  options.clock = clock;
  options.connect_timeout = options.probe_timeout = hour;
  const auto with_port = [this](std::uint16_t port) {
    auto with = options;
    with.port = port;
    return with;
  };
  {
    const runtime::CloudLink link(with_port(mute.local_endpoint().port()));
    (void)mute.accept();
  }
  EXPECT_EQ(clock.use_count(), 2) << "held by more than this test";
  {
    const runtime::CloudLink link(with_port(mute.local_endpoint().port()));
    auto socket = mute.accept();
    transport::Protocol protocol{transport::Limits{}};
    transport::OutgoingFrame hello;
    ASSERT_TRUE(protocol.next(hello));
    boost::asio::write(socket, boost::asio::buffer(hello.head));
    std::string heard;
    boost::asio::read_until(socket, boost::asio::dynamic_buffer(heard),
                            std::string(exec::models_method));
  }
  EXPECT_EQ(clock.use_count(), 2);
  Reply reply;
  {
    const auto link = connect();
    link->start(call_of("hold", hour), [&](Reply r) { reply = std::move(r); });
    wait_until_held(1);
  }
  EXPECT_EQ(reply.error().code, Errc::unavailable);
  EXPECT_EQ(clock.use_count(), 2);
}

TEST_F(CloudLinkTest, ACloudWhoseWorkersAreAllStuckIsLeftAlone) {
  options.probe_timeout = milliseconds(50);
  const auto link = connect();
  std::vector<std::future<Reply>> stuck;
  for (int i = 0; i < 2; ++i)
    stuck.push_back(std::async(std::launch::async,
                               [&] { return link->call(call_of("hold", milliseconds(100))); }));
  for (auto& call : stuck) EXPECT_FALSE(call.get());
  EXPECT_FALSE(link->reachable());  // the process answers pings, but nothing else
  opened.set_value();
  EXPECT_TRUE(link->wait_connected(Seconds(60)));
  opened = {};
}

}  // namespace
}  // namespace cleave::tests
