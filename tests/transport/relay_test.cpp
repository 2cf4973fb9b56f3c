// The relay over real sockets; its clock is the tests'.
#include "lib/transport/asio.hpp"

#include <cleave/transport/relay.hpp>

#include <gtest/gtest.h>

#include <bit>
#include <thread>
#include <vector>

namespace {

using namespace cleave;
using core::Errc;
using core::Seconds;
using transport::error_code;
using transport::LinkDirection;
using transport::LinkFaults;
using transport::LinkState;
using transport::LinkTrace;
using transport::Relay;
using transport::RelayCounts;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// A connection through a relay, held by both ends.
struct Ends {
  tcp::socket edge, cloud;
};

class RelayTest : public ::testing::Test {
 protected:
  Relay& start(transport::RelayOptions options = {}) {
    options.target_port = acceptor.local_endpoint().port();
    if (!options.clock)
      options.clock = clock;
    auto started = Relay::start(std::move(options));
    EXPECT_TRUE(started) << started.error().message();
    relay = std::move(*started);
    return *relay;
  }

  tcp::socket connect() {
    tcp::socket edge(context);
    edge.connect({asio::ip::address_v4::loopback(), relay->port()});
    return edge;
  }

  Ends open() {
    tcp::socket edge = connect();
    return {std::move(edge), acceptor.accept()};
  }

  void move_to(double seconds) {
    clock->advance(Seconds(seconds) - clock->now());
    relay->check_time();
  }

  // Until the relay has seen what it will see anyway.
  template <class F>
  void wait_for(F&& seen) {
    while (!seen(relay->counts())) std::this_thread::yield();
  }

  asio::io_context context;
  tcp::acceptor acceptor{context, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::unique_ptr<Relay> relay;
};

void send(tcp::socket& socket, const std::string& text) {
  asio::write(socket, asio::buffer(text));
}

std::string receive(tcp::socket& socket, std::size_t size) {
  std::string text(size, '\0');
  error_code error;
  text.resize(asio::read(socket, asio::buffer(text), error));
  return text;
}

error_code error_of_reading(tcp::socket& socket) {
  char byte = 0;
  error_code error;
  asio::read(socket, asio::buffer(&byte, 1), error);
  return error;
}

bool nothing_there(tcp::socket& socket) {
  socket.non_blocking(true);
  char byte = 0;
  error_code error;
  socket.receive(asio::buffer(&byte, 1), 0, error);
  socket.non_blocking(false);
  return error == asio::error::would_block;
}

TEST_F(RelayTest, FlipsTheSameBitsForTheSameSeedAndNoneTheOtherWay) {
  const std::string sent(300000, 'x');
  std::vector<std::string> received;
  for (const std::uint64_t seed : {5U, 5U, 6U}) {
    transport::RelayOptions options;
    options.faults.corruption_up = 1e-3;
    options.seed = seed;
    start(options);
    Ends ends = open();
    std::thread writer([&] { send(ends.edge, sent); });
    received.push_back(receive(ends.cloud, sent.size()));
    writer.join();
    std::uint64_t flipped = 0;
    for (const char byte : received.back())
      flipped += static_cast<std::uint64_t>(std::popcount(static_cast<unsigned char>(byte ^ 'x')));
    EXPECT_EQ(flipped, relay->counts().flipped_up);
    EXPECT_NEAR(static_cast<double>(flipped), 300, 5 * std::sqrt(300));
    EXPECT_EQ(relay->counts().bytes_up, sent.size());
    std::thread back([&] { send(ends.cloud, sent); });
    EXPECT_EQ(receive(ends.edge, sent.size()), sent);
    back.join();
    EXPECT_EQ(relay->counts().flipped_down, 0U);
  }
  EXPECT_EQ(received[0], received[1]);
  EXPECT_NE(received[0], received[2]);
}

TEST_F(RelayTest, ResetsAConnectionAfterItsBytes) {
  transport::RelayOptions options;
  options.faults.cut_after = core::Bytes(20000);
  start(options);
  for (std::uint64_t i = 0; i < 5; ++i) {
    Ends ends = open();
    error_code error;
    const std::string part(1000, 'x');
    while (!error) asio::write(ends.edge, asio::buffer(part), error);
    wait_for([&](const RelayCounts& counts) { return counts.cut == i + 1; });
    error = {};
    std::string rest(1 << 20, '\0');
    asio::read(ends.cloud, asio::buffer(rest), error);
    EXPECT_EQ(error, asio::error::connection_reset);
  }
  EXPECT_GT(relay->counts().bytes_up, 5000U);
  EXPECT_EQ(relay->connections(), 0U);
}

TEST_F(RelayTest, AHalfOpenConnectionLosesOneDirectionAndItsEnd) {
  start();
  Ends ends = open();
  send(ends.edge, "before");
  EXPECT_EQ(receive(ends.cloud, 6), "before");
  relay->lose(LinkDirection::up);
  send(ends.edge, "into nothing");
  wait_for([](const RelayCounts& counts) { return counts.vanished_up == 12; });
  EXPECT_TRUE(nothing_there(ends.cloud));
  send(ends.cloud, "still there");
  EXPECT_EQ(receive(ends.edge, 11), "still there");
  ends.edge.close();
  // It is gone without a word: what the cloud sends ends nowhere, and it hears of nothing.
  for (int i = 0; i < 3; ++i) {
    const std::uint64_t before = relay->counts().vanished_down + relay->counts().bytes_down;
    send(ends.cloud, "hello?");
    wait_for([&](const RelayCounts& counts) {
      return counts.vanished_down + counts.bytes_down == before + 6;
    });
    EXPECT_TRUE(nothing_there(ends.cloud));
  }
  EXPECT_EQ(relay->connections(), 1U);
  ends.cloud.close();
  while (relay->connections() != 0) std::this_thread::yield();
  // Later connections are whole.
  Ends later = open();
  send(later.edge, "whole");
  EXPECT_EQ(receive(later.cloud, 5), "whole");
}

TEST_F(RelayTest, ConnectionsBecomeHalfOpenByChance) {
  transport::RelayOptions options;
  options.faults.half_open = 1;
  options.faults.half_open_after = Seconds(3);
  start(options);
  Ends ends = open();
  send(ends.edge, "a");
  send(ends.cloud, "b");
  EXPECT_EQ(receive(ends.cloud, 1) + receive(ends.edge, 1), "ab");
  move_to(1000);
  send(ends.edge, "a");
  send(ends.cloud, "b");
  wait_for([](const RelayCounts& counts) {
    return counts.vanished_up + counts.vanished_down == 1 &&
           counts.bytes_up + counts.bytes_down == 3;
  });
  tcp::socket& reached = relay->counts().vanished_up == 1 ? ends.edge : ends.cloud;
  tcp::socket& lonely = relay->counts().vanished_up == 1 ? ends.cloud : ends.edge;
  EXPECT_EQ(receive(reached, 1).size(), 1U);
  EXPECT_TRUE(nothing_there(lonely));
}

TEST_F(RelayTest, AnOutageOnScheduleResetsAndRefusesUntilItIsOver) {
  transport::RelayOptions options;
  options.faults.scheduled_outages = {{Seconds(10), Seconds(2)}};
  start(options);
  Ends ends = open();
  move_to(9.999);
  send(ends.edge, "in time");
  EXPECT_EQ(receive(ends.cloud, 7), "in time");
  move_to(10);
  EXPECT_EQ(error_of_reading(ends.edge), asio::error::connection_reset);
  EXPECT_EQ(error_of_reading(ends.cloud), asio::error::connection_reset);
  tcp::socket refused = connect();
  EXPECT_EQ(error_of_reading(refused), asio::error::connection_reset);
  EXPECT_EQ(relay->connections(), 0U);
  move_to(12);
  Ends later = open();
  send(later.edge, "again");
  EXPECT_EQ(receive(later.cloud, 5), "again");
  const RelayCounts counts = relay->counts();
  EXPECT_EQ(counts.outages, 1U);
  EXPECT_EQ(counts.refused, 1U);
  EXPECT_EQ(counts.connections, 3U);
}

TEST_F(RelayTest, InAStallNothingMovesAndNothingIsLost) {
  transport::RelayOptions options;
  options.faults.scheduled_stalls = {{Seconds(5), Seconds(1)}};
  options.delay = Seconds(2);
  start(options);
  Ends ends = open();
  send(ends.edge, "early");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 5; });
  move_to(1.999);
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(2);
  EXPECT_EQ(receive(ends.cloud, 5), "early");
  move_to(4);
  send(ends.edge, "late");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 9; });
  move_to(5.5);
  move_to(6.5);
  EXPECT_TRUE(nothing_there(ends.cloud));  // 4 + 2 s, and 1 s more for the stall
  move_to(7);
  EXPECT_EQ(receive(ends.cloud, 4), "late");
  EXPECT_EQ(relay->counts().stalls, 1U);
}

TEST_F(RelayTest, FollowsATraceAndThenWhatIsSet) {
  transport::RelayOptions options;
  options.trace =
      *LinkTrace::parse("time_s,rate,delay\n0,8gbit,0\n3,8gbit,1s\n8,0,0\n10,8gbit,0\n", "t.csv");
  start(options);
  Ends ends = open();
  move_to(1);
  send(ends.edge, "a");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 1; });
  move_to(2);
  EXPECT_EQ(receive(ends.cloud, 1), "a");
  move_to(3);
  send(ends.edge, "b");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 2; });
  move_to(3.9);
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(4.1);
  EXPECT_EQ(receive(ends.cloud, 1), "b");
  move_to(7.5);
  send(ends.edge, "c");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 3; });
  move_to(8);
  move_to(10);  // a rate of 0 for two seconds
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(10.6);
  EXPECT_EQ(receive(ends.cloud, 1), "c");
  // set_link() ends the trace, set_trace() begins one.
  ASSERT_TRUE(relay->set_link(transport::unlimited_rate, transport::unlimited_rate, Seconds(0.5),
                              Seconds(0)));
  send(ends.edge, "d");
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 4; });
  move_to(11);
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(11.2);
  EXPECT_EQ(receive(ends.cloud, 1), "d");
  relay->set_trace(*LinkTrace::parse("time_s,rate,delay\n0,0,0\n1,8gbit,0\n", "t.csv"), true);
  send(ends.edge, "e");
  move_to(12.1);
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(12.2);
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 5; });
  move_to(13);
  EXPECT_EQ(receive(ends.cloud, 1), "e");
  move_to(13.3);  // from its beginning again
  send(ends.edge, "f");
  move_to(14.1);
  EXPECT_TRUE(nothing_there(ends.cloud));
  move_to(14.3);
  wait_for([](const RelayCounts& counts) { return counts.bytes_up == 6; });
  move_to(14.4);
  EXPECT_EQ(receive(ends.cloud, 1), "f");
}

TEST_F(RelayTest, FaultsMayBeSetWhileItRunsAndTheStateBeForced) {
  start();
  Ends ends = open();
  LinkFaults faults;
  faults.scheduled_outages = {{Seconds(1), Seconds(1)}};
  move_to(100);
  ASSERT_TRUE(relay->set_faults(faults));
  send(ends.edge, "a");
  EXPECT_EQ(receive(ends.cloud, 1), "a");
  move_to(101);
  EXPECT_EQ(error_of_reading(ends.edge), asio::error::connection_reset);
  ASSERT_TRUE(relay->set_faults({}));
  Ends second = open();
  relay->set_state(LinkState::out);
  EXPECT_EQ(error_of_reading(second.cloud), asio::error::connection_reset);
  relay->set_state(LinkState::moving);
  Ends third = open();
  send(third.edge, "b");
  EXPECT_EQ(receive(third.cloud, 1), "b");
  faults.half_open = 2;
  EXPECT_EQ(relay->set_faults(faults).error().code, Errc::invalid_argument);
  transport::RelayOptions options;
  options.faults = faults;
  EXPECT_EQ(Relay::start(options).error().code, Errc::invalid_argument);
}

TEST_F(RelayTest, MayBeSetFromManyThreadsWhileBytesMove) {
  transport::RelayOptions options;
  options.clock = std::make_shared<core::SteadyClock>();
  start(options);
  Ends ends = open();
  const auto trace = *LinkTrace::parse("time_s,rate,delay\n0,8gbit,0\n0.001,4gbit,0\n", "t.csv");
  std::vector<std::thread> setters;
  for (int t = 0; t < 3; ++t)
    setters.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        relay->set_trace(trace, true);
        EXPECT_TRUE(relay->set_faults({}));
        relay->set_state(t == 0 ? LinkState::stalled : LinkState::moving);
        EXPECT_TRUE(relay->set_link(core::BytesPerSecond(1e9), core::BytesPerSecond(1e9),
                                    Seconds(0), Seconds(0)));
        EXPECT_EQ(relay->counts().connections, 1U);
        relay->check_time();
      }
      relay->set_state(LinkState::moving);
    });
  const std::string sent(2'000'000, 'x');
  std::thread writer([&] { send(ends.edge, sent); });
  for (std::thread& setter : setters) setter.join();
  relay->set_state(LinkState::moving);
  EXPECT_EQ(receive(ends.cloud, sent.size()), sent);
  writer.join();
  EXPECT_EQ(relay->counts().bytes_up, sent.size());
  EXPECT_EQ(relay->counts().flipped_up, 0U);
}

}  // namespace
