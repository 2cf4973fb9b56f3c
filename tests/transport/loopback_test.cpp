#include "lib/transport/asio.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/protocol.hpp>
#include <cleave/transport/relay.hpp>
#include <cleave/transport/server.hpp>

#include <gtest/gtest.h>
#include <pthread.h>

#include <future>
#include <latch>
#include <thread>

namespace {

using namespace cleave;
using core::Errc;
using core::Result;
using core::Seconds;
using transport::Call;
using transport::Channel;
using transport::Incoming;
using transport::Response;
using transport::Server;
using Bytes = std::vector<std::byte>;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

std::unique_ptr<Server> serve(transport::ServerOptions options = {}) {
  auto server = Server::listen(std::move(options));
  EXPECT_TRUE(server) << server.error().message();
  (*server)->handle("test", "echo", [](const Incoming& in) -> Result<Bytes> { return in.body; });
  return std::move(*server);
}

std::shared_ptr<Channel> open(std::uint16_t port, transport::ChannelOptions options = {}) {
  options.port = port;
  auto channel = Channel::connect(std::move(options));
  EXPECT_TRUE(channel) << channel.error().message();
  return channel.value_or(nullptr);
}

Bytes body_of(std::size_t size, std::size_t seed = 1) {
  Bytes body(size);
  for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<std::byte>(i * 131 + seed);
  return body;
}

Call call_of(std::string method, Bytes body = {}) {
  Call call;
  call.service = "test";
  call.method = std::move(method);
  call.body = std::move(body);
  return call;
}

// A call's outcome, and that there is only one.
struct Outcome {
  std::promise<Result<Response>> promise;
  std::future<Result<Response>> future = promise.get_future();
  Channel::Callback callback() {
    return [this](Result<Response> r) { promise.set_value(std::move(r)); };  // throws if twice
  }
};

// Lets a handler wait until the test says so.
struct Gate {
  std::promise<void> opened;
  std::shared_future<void> open = opened.get_future().share();
  std::latch entered{1};
};

// A peer that is no cleave: accepts one connection.
struct RawPeer {
  asio::io_context context;
  tcp::acceptor acceptor{context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  tcp::socket socket{context};
  [[nodiscard]] std::uint16_t port() const { return acceptor.local_endpoint().port(); }
};

TEST(Loopback, EchoesBodiesOfAllSizes) {
  const auto server = serve();
  const auto channel = open(server->port());
  for (const std::size_t size : {0U, 1U, 64U, 65535U, 65536U, 65537U, 5000000U}) {
    const auto reply = channel->call(call_of("echo", body_of(size)));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->body, body_of(size));
    EXPECT_GE(reply->handler, Seconds(0));
  }
}

// Gives its bytes back, and the names of the threads that it ran on.
class EchoSink final : public transport::BodySink {
 public:
  Result<void> add(std::span<const std::byte> piece) override {
    body_.insert(body_.end(), piece.begin(), piece.end());
    adding_ = thread();
    if (!body_.empty() && body_.front() == std::byte{255})
      return core::fail(Errc::invalid_argument, "not these");
    return {};
  }
  Result<Bytes> finish(const Incoming& incoming) override {
    EXPECT_TRUE(incoming.body.empty());
    EXPECT_GE(incoming.behind, Seconds(0));
    EXPECT_EQ(thread().substr(0, 11), "cleave-work");
    EXPECT_EQ(adding_.substr(0, 11), body_.size() > (256U << 10) ? "cleave-deco" : "cleave-work");
    return body_;
  }

 private:
  static std::string thread() {
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    return name;
  }
  Bytes body_;
  std::string adding_;
};

TEST(Loopback, ABodyGoesIntoASinkAsItArrivesOrAtOnceWhereItIsSmall) {
  const auto server = serve();
  server->handle_stream("test", "sink", [] { return std::make_unique<EchoSink>(); });
  const auto channel = open(server->port());
  for (const std::size_t size : {1U, 65536U, 256U << 10, (256U << 10) + 1, 3000000U}) {
    const auto reply = channel->call(call_of("sink", body_of(size)));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->body, body_of(size));
    const auto refused = channel->call(call_of("sink", Bytes(size, std::byte{255})));
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
  }
}

TEST(Loopback, ManyThreadsCallOnOneChannel) {
  transport::ServerOptions options;
  options.workers = 2;
  const auto server = serve(options);
  const auto channel = open(server->port());
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (std::size_t t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 50; ++i) {
        const Bytes body = body_of((t * 7919 + i * 104729) % 200000, t + i);
        const auto reply = channel->call(call_of("echo", body));
        right += reply && reply->body == body ? 1 : 0;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 400);
  EXPECT_EQ(channel->pending(), 0U);
}

TEST(Loopback, RepliesOvertakeOneAnother) {
  Gate gate;
  transport::ServerOptions options;
  options.workers = 2;
  const auto server = serve(options);
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.open.wait();
    return Bytes{};
  });
  const auto channel = open(server->port());
  Outcome slow;
  channel->start(call_of("wait"), slow.callback());
  EXPECT_TRUE(channel->call(call_of("echo", body_of(10))));
  gate.opened.set_value();
  EXPECT_TRUE(slow.future.get());
}

TEST(Loopback, UrgentRequestsLeaveTheQueueFirst) {
  Gate gate;
  const auto server = serve();
  std::vector<int> order;  // one worker
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.entered.count_down();
    gate.open.wait();
    return Bytes{};
  });
  server->handle("test", "note", [&](const Incoming& in) -> Result<Bytes> {
    order.push_back(in.priority);
    return Bytes{};
  });
  const auto channel = open(server->port());
  std::vector<Outcome> outcomes(4);
  channel->start(call_of("wait"), outcomes[0].callback());
  gate.entered.wait();
  for (const std::uint8_t priority : {1, 7, 3}) {
    Call call = call_of("note");
    call.priority = priority;
    channel->start(std::move(call), outcomes[1 + order.size()].callback());
    order.push_back(0);
  }
  while (server->load().queued < 3) std::this_thread::yield();
  order.clear();
  gate.opened.set_value();
  for (auto& outcome : outcomes) EXPECT_TRUE(outcome.future.get());
  EXPECT_EQ(order, (std::vector<int>{7, 3, 1}));
}

TEST(Loopback, ErrorsOfTheHandlerReachTheCaller) {
  const auto server = serve();
  server->handle("test", "fail", [](const Incoming&) -> Result<Bytes> {
    return core::fail(Errc::mismatch, "another model", "m.pt", "push it");
  });
  server->handle("test", "throw",
                 [](const Incoming&) -> Result<Bytes> { throw std::runtime_error("oops"); });
  const auto channel = open(server->port());
  const auto failed = channel->call(call_of("fail"));
  EXPECT_EQ(failed.error().code, Errc::mismatch);
  EXPECT_EQ(failed.error().hint, "push it");
  EXPECT_EQ(channel->call(call_of("throw")).error().code, Errc::internal);
  EXPECT_EQ(channel->call(call_of("nonsense")).error().code, Errc::not_found);
  EXPECT_EQ(channel->call(call_of("")).error().code, Errc::invalid_argument);
  EXPECT_TRUE(channel->connected());
}

TEST(Loopback, ACallTimesOutByTheInjectedClockAndTheWorkIsToldSo) {
  Gate gate;
  const auto server = serve();
  std::shared_ptr<const std::atomic<bool>> cancelled;
  server->handle("test", "wait", [&](const Incoming& in) -> Result<Bytes> {
    cancelled = in.cancelled;
    gate.entered.count_down();
    gate.open.wait();
    return Bytes{};
  });
  const auto clock = std::make_shared<core::ManualClock>();
  transport::ChannelOptions options;
  options.clock = clock;
  const auto channel = open(server->port(), options);
  Outcome outcome;
  Call call = call_of("wait");
  call.timeout = Seconds(3600);
  channel->start(std::move(call), outcome.callback());
  gate.entered.wait();
  clock->advance(Seconds(3599));
  channel->check_timeouts();
  EXPECT_EQ(channel->pending(), 1U);
  clock->advance(Seconds(2));
  channel->check_timeouts();
  EXPECT_EQ(outcome.future.get().error().code, Errc::timed_out);
  while (!*cancelled) std::this_thread::yield();
  gate.opened.set_value();
}

TEST(Loopback, ExpiredAndCancelledWorkIsDroppedBeforeItRuns) {
  Gate gate;
  const auto clock = std::make_shared<core::ManualClock>();
  transport::ServerOptions options;
  options.clock = clock;
  const auto server = serve(options);
  std::atomic<int> ran{0};
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.entered.count_down();
    gate.open.wait();
    return Bytes{};
  });
  server->handle("test", "count", [&](const Incoming&) -> Result<Bytes> {
    ++ran;
    return Bytes{};
  });
  const auto channel = open(server->port());
  Outcome first, late, unwanted;
  channel->start(call_of("wait"), first.callback());
  gate.entered.wait();
  Call call = call_of("count");
  call.remaining = Seconds(5);
  channel->start(call, late.callback());
  call.remaining = Seconds(0);
  const auto id = channel->start(call, unwanted.callback());
  while (server->load().queued < 2) std::this_thread::yield();
  channel->cancel(id);
  EXPECT_EQ(unwanted.future.get().error().code, Errc::cancelled);
  EXPECT_EQ(channel->call(call_of("nonsense")).error().code, Errc::not_found);  // cancel is there
  clock->advance(Seconds(6));
  gate.opened.set_value();
  EXPECT_TRUE(first.future.get());
  EXPECT_EQ(late.future.get().error().code, Errc::timed_out);
  EXPECT_TRUE(channel->call(call_of("echo")));
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(server->load().expired, 2U);
}

TEST(Loopback, AFullQueueRefuses) {
  Gate gate;
  transport::ServerOptions options;
  options.max_queued = 1;
  const auto server = serve(options);
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.open.wait();
    return Bytes{};
  });
  const auto channel = open(server->port());
  Outcome running, queued, refused;
  channel->start(call_of("wait"), running.callback());
  while (server->load().running < 1) std::this_thread::yield();
  channel->start(call_of("wait"), queued.callback());
  channel->start(call_of("wait"), refused.callback());
  EXPECT_EQ(refused.future.get().error().code, Errc::refused);
  EXPECT_EQ(server->load().queued, 1U);
  gate.opened.set_value();
  EXPECT_TRUE(running.future.get());
  EXPECT_TRUE(queued.future.get());
}

TEST(Loopback, AnAsyncHandlerAnswersFromAnyThreadAndAnUnansweredOneFails) {
  const auto server = serve();
  std::vector<std::thread> threads;
  server->handle_async("test", "later", [&](Incoming in, transport::Responder respond) {
    threads.emplace_back([in = std::move(in), respond = std::move(respond)]() mutable {
      respond.answer(std::move(in.body));
    });
  });
  server->handle_async("test", "never", [](const Incoming&, const transport::Responder&) {});
  const auto channel = open(server->port());
  EXPECT_EQ(channel->call(call_of("later", body_of(9)))->body, body_of(9));
  EXPECT_EQ(channel->call(call_of("never")).error().code, Errc::internal);
  for (auto& thread : threads) thread.join();
}

TEST(Loopback, APeerKilledMidRequestFailsEveryPendingCallOnce) {
  RawPeer peer;
  std::vector<Outcome> outcomes(10);
  std::thread accept([&] {
    peer.acceptor.accept(peer.socket);
    transport::Protocol protocol{transport::Limits{}};
    transport::OutgoingFrame hello;
    ASSERT_TRUE(protocol.next(hello));
    asio::write(peer.socket, asio::buffer(hello.head));
  });
  const auto channel = open(peer.port());
  accept.join();
  for (auto& outcome : outcomes)
    channel->start(call_of("echo", body_of(100000)), outcome.callback());
  // Half a frame, then the end.
  asio::write(peer.socket, asio::buffer("\x40\0\0\0\x04", 5));
  peer.socket.close();
  for (auto& outcome : outcomes) EXPECT_EQ(outcome.future.get().error().code, Errc::unavailable);
  EXPECT_FALSE(channel->connected());
  EXPECT_EQ(channel->call(call_of("echo")).error().code, Errc::unavailable);
}

TEST(Loopback, ConnectingTellsWhatIsWrong) {
  std::uint16_t free_port = 0;
  {
    RawPeer peer;
    free_port = peer.port();
  }
  transport::ChannelOptions options;
  options.port = free_port;
  EXPECT_EQ(Channel::connect(options).error().code, Errc::unavailable);
  RawPeer silent;
  options.port = silent.port();
  options.connect_timeout = Seconds(0.01);
  EXPECT_EQ(Channel::connect(options).error().code, Errc::timed_out);
  RawPeer other;
  options.port = other.port();
  options.connect_timeout = Seconds(30);
  std::thread http([&] {
    other.acceptor.accept(other.socket);
    asio::write(other.socket, asio::buffer("HTTP/1.1 400 Bad Request\r\n\r\n", 28));
  });
  EXPECT_EQ(Channel::connect(options).error().code, Errc::corrupt);
  http.join();
  transport::ServerOptions full;
  full.max_connections = 1;
  const auto server = serve(full);
  const auto first = open(server->port());
  options.port = server->port();
  EXPECT_EQ(Channel::connect(options).error().code, Errc::refused);
  EXPECT_TRUE(first->call(call_of("echo")));
}

TEST(Loopback, ATakenPortIsSaidToBeTaken) {
  const auto server = serve();
  transport::ServerOptions options;
  options.port = server->port();
  const auto second = Server::listen(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::in_use);
  EXPECT_NE(second.error().hint, "");
  options.address = "not an address";
  EXPECT_EQ(Server::listen(options).error().code, Errc::invalid_argument);
}

TEST(Loopback, StoppingFinishesWhatIsUnderWay) {
  Gate gate;
  const auto server = serve();
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.entered.count_down();
    gate.open.wait();
    return body_of(300000);
  });
  const auto channel = open(server->port());
  Outcome outcome;
  channel->start(call_of("wait"), outcome.callback());
  gate.entered.wait();
  std::thread stop([&] { server->stop(); });
  gate.opened.set_value();
  const auto reply = outcome.future.get();
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body, body_of(300000));
  stop.join();
  EXPECT_FALSE(channel->call(call_of("echo")));
}

TEST(Loopback, ChannelsShareAnIoThreadAndConnectWithoutBlocking) {
  const auto server = serve();
  const auto io = std::make_shared<transport::IoContext>();
  transport::ChannelOptions options;
  options.port = server->port();
  options.io = io;
  std::promise<Result<std::shared_ptr<Channel>>> connected;
  Channel::connect_async(options, [&](auto channel) { connected.set_value(std::move(channel)); });
  const auto a = connected.get_future().get();
  const auto b = open(server->port(), options);
  ASSERT_TRUE(a);
  EXPECT_TRUE((*a)->call(call_of("echo")));
  EXPECT_TRUE(b->call(call_of("echo")));
  Outcome blocked;
  b->start(call_of("echo"),
           [&](const Result<Response>&) { blocked.promise.set_value(b->call(call_of("echo"))); });
  EXPECT_EQ(blocked.future.get().error().code, Errc::invalid_argument);
}

TEST(Loopback, AnAttemptToConnectCanBeCancelled) {
  asio::io_context context;
  const tcp::acceptor mute(context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto io = std::make_shared<transport::IoContext>();
  transport::ChannelOptions options;
  options.port = mute.local_endpoint().port();
  options.connect_timeout = Seconds(3600);
  options.io = io;
  std::vector<Result<std::shared_ptr<Channel>>> told;
  auto held = std::make_shared<int>();
  const std::weak_ptr<int> callback = held;
  const auto cancel = Channel::connect_async(
      options, [&told, held = std::move(held)](auto c) { told.push_back(std::move(c)); });
  cancel();
  EXPECT_TRUE(callback.expired());
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told.front().error().code, Errc::cancelled);
  cancel();
  EXPECT_EQ(told.size(), 1u);

  // One that is there already is not taken away.
  const auto server = serve();
  options.port = server->port();
  std::promise<Result<std::shared_ptr<Channel>>> connected;
  const auto late = Channel::connect_async(
      options, [&](auto channel) { connected.set_value(std::move(channel)); });
  const auto channel = connected.get_future().get();
  late();
  ASSERT_TRUE(channel);
  EXPECT_TRUE((*channel)->call(call_of("echo")));
}

TEST(Loopback, AChannelThatHasGoneHasToldAllItsCallers) {
  const auto server = serve();
  const auto io = std::make_shared<transport::IoContext>();
  transport::ChannelOptions options;
  options.io = io;
  for (const bool lost : {false, true}) {
    auto channel = open(server->port(), options);
    ASSERT_TRUE(channel);
    if (lost) {
      Outcome cut;
      server->handle_async("test", "never", [](const Incoming&, const transport::Responder&) {});
      server->stop();
      channel->start(call_of("never"), cut.callback());
      EXPECT_EQ(cut.future.get().error().code, Errc::unavailable);
    }
    const auto told = std::make_shared<std::atomic<int>>(0);
    // Too large to be begun at once: the I/O thread does it, and refuses them where all is lost.
    const Call large = call_of("echo", body_of(70000));
    for (int i = 0; i < 200; ++i) channel->start(large, [told](const auto&) { ++*told; });
    channel.reset();
    EXPECT_EQ(*told, 200);
    EXPECT_EQ(told.use_count(), 1);
  }
}

TEST(Relay, ForwardsAndLosesNothing) {
  const auto server = serve();
  transport::RelayOptions options;
  options.target_port = server->port();
  options.up = options.down = core::BytesPerSecond(50e6);
  options.delay = Seconds(0.001);
  options.jitter = Seconds(0.001);
  const auto relay = transport::Relay::start(options);
  ASSERT_TRUE(relay);
  const auto channel = open((*relay)->port());
  const auto reply = channel->call(call_of("echo", body_of(1000000)));
  ASSERT_TRUE(reply) << reply.error().message();
  EXPECT_EQ(reply->body, body_of(1000000));
  EXPECT_EQ((*relay)->connections(), 1U);
}

TEST(Relay, KilledConnectionsFailTheirCallsAndNewOnesWork) {
  Gate gate;
  const auto server = serve();
  server->handle("test", "wait", [&](const Incoming&) -> Result<Bytes> {
    gate.entered.count_down();
    gate.open.wait();
    return Bytes{};
  });
  transport::RelayOptions options;
  options.target_port = server->port();
  const auto relay = *transport::Relay::start(options);
  const auto channel = open(relay->port());
  Outcome outcome;
  channel->start(call_of("wait"), outcome.callback());
  gate.entered.wait();
  relay->kill_connections();
  EXPECT_EQ(outcome.future.get().error().code, Errc::unavailable);
  gate.opened.set_value();
  EXPECT_TRUE(open(relay->port())->call(call_of("echo", body_of(10))));
}

TEST(Relay, AStallStopsAllAndItsEndLetsThingsGoOn) {
  const auto server = serve();
  transport::RelayOptions options;
  options.target_port = server->port();
  const auto relay = *transport::Relay::start(options);
  const auto channel = open(relay->port());
  relay->set_state(transport::LinkState::stalled);
  Call call = call_of("echo", body_of(10));
  call.timeout = Seconds(0.02);
  EXPECT_EQ(channel->call(call).error().code, Errc::timed_out);
  relay->set_state(transport::LinkState::moving);
  call.timeout = Seconds(0);
  EXPECT_TRUE(channel->call(call));
}

TEST(Relay, RefusesALinkThatCannotBe) {
  transport::RelayOptions options;
  options.up = core::BytesPerSecond(0);
  EXPECT_EQ(transport::Relay::start(options).error().code, Errc::invalid_argument);
  options.up = transport::unlimited_rate;
  options.delay = Seconds(-1);
  EXPECT_EQ(transport::Relay::start(options).error().code, Errc::invalid_argument);
}

}  // namespace
