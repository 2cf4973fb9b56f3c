// Hostile peers on real sockets, and an honest client of the same server meanwhile.
#include "lib/transport/asio.hpp"
#include "tests/support/kept_log.hpp"
#include "tests/support/pki.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/protocol.hpp>
#include <cleave/transport/server.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace {

using namespace cleave;
using core::Result;
using core::Seconds;
using testing::HasSubstr;
using transport::Channel;
using transport::Server;
using Bytes = std::vector<std::byte>;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

transport::Call call_of(std::string method, std::size_t size = 0) {
  transport::Call call;
  call.service = "test";
  call.method = std::move(method);
  call.body = Bytes(size);
  return call;
}

Bytes words_of(transport::Protocol& protocol) {
  Bytes bytes;
  transport::OutgoingFrame frame;
  while (protocol.next(frame)) {
    bytes.insert(bytes.end(), frame.head.begin(), frame.head.end());
    bytes.insert(bytes.end(), frame.body.begin(), frame.body.end());
  }
  return bytes;
}

// A peer without manners, from an address of its own: all of 127/8 is this machine.
class Attacker {
 public:
  explicit Attacker(std::uint16_t port, const std::string& from = "127.0.0.2") {
    socket_.open(tcp::v4());
    socket_.bind({asio::ip::make_address(from), 0});
    socket_.connect({asio::ip::address_v4::loopback(), port});
  }
  bool say(std::span<const std::byte> bytes) {
    transport::error_code error;
    asio::write(socket_, asio::buffer(bytes.data(), bytes.size()), error);
    return !error;
  }
  bool hello() {
    transport::Protocol protocol({});
    return say(words_of(protocol));
  }
  // When it returns true the server has it among its connections.
  bool heard() {
    std::byte first{};
    transport::error_code error;
    return socket_.read_some(asio::buffer(&first, 1), error) == 1;
  }
  // Reads until the server closes.
  void await_end() {
    Bytes buffer(65536);
    transport::error_code error;
    while (!error) socket_.read_some(asio::buffer(buffer), error);
  }
  tcp::socket& socket() { return socket_; }

 private:
  asio::io_context context_;
  tcp::socket socket_{context_};
};

class Flood : public testing::Test {
 protected:
  Flood() {
    options.log = &log;
    options.peers.max_failures_per_address = 0;  // but for the test of them
  }
  void serve() {
    auto listening = Server::listen(options);
    ASSERT_TRUE(listening) << listening.error().message();
    server = std::move(*listening);
    server->handle("test", "echo",
                   [](const transport::Incoming& in) -> Result<Bytes> { return in.body; });
    server->handle("test", "large",
                   [](const transport::Incoming&) -> Result<Bytes> { return Bytes(64U << 20); });
    honest_options.port = server->port();
  }
  std::shared_ptr<Channel> honest() {
    auto channel = Channel::connect(honest_options);
    EXPECT_TRUE(channel) << channel.error().message();
    return channel.value_or(nullptr);
  }
  static void expect_service(Channel& channel) {
    const auto reply = channel.call(call_of("echo", 1000));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->body.size(), 1000U);
  }
  // The honest client is served until the server has only so many connections left.
  void serve_until(Channel& channel, std::size_t connections,
                   const std::function<void()>& meanwhile = {}) {
    while (server->load().connections > connections) {
      ASSERT_NO_FATAL_FAILURE(expect_service(channel));
      if (meanwhile)
        meanwhile();
    }
  }

  tests::KeptLog log;
  transport::ServerOptions options;
  transport::ChannelOptions honest_options;
  std::unique_ptr<Server> server;
};

TEST_F(Flood, HalfOpenHandshakesMakeRoomForHonestClients) {
  const tests::Pki pki;
  pki.sign("server", {"127.0.0.1"});
  options.security = pki.server("server");
  honest_options.security = pki.client();
  options.peers.max_handshakes = 16;
  options.peers.max_handshakes_per_address = 8;
  options.handshake_timeout = Seconds(3600);
  serve();
  const auto before = honest();
  std::vector<std::unique_ptr<Attacker>> attackers;
  for (const std::string from : {"127.0.0.2", "127.0.0.3", "127.0.0.1"})
    for (int i = 0; i < 100; ++i) {
      attackers.push_back(std::make_unique<Attacker>(server->port(), from));
      if (i % 20 == 0) {
        ASSERT_NO_FATAL_FAILURE(expect_service(*before));
        // From the same address as a part of the flood, too.
        ASSERT_NO_FATAL_FAILURE(expect_service(*honest()));
      }
    }
  EXPECT_LE(server->load().connections, 16U + 2);
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("too many handshakes under way"));
  // A line at once and then counts, not 300 lines.
  const std::string text = log.text();
  EXPECT_LT(std::count(text.begin(), text.end(), '\n'), 20);
}

TEST_F(Flood, HandshakesThatNeverEndAreDropped) {
  options.handshake_timeout = Seconds(0.1);
  serve();
  const auto channel = honest();
  std::vector<std::unique_ptr<Attacker>> attackers;
  for (int i = 0; i < 20; ++i) attackers.push_back(std::make_unique<Attacker>(server->port()));
  for (const auto& attacker : attackers) attacker->await_end();
  ASSERT_NO_FATAL_FAILURE(expect_service(*channel));
}

TEST_F(Flood, FramesOverTheLimitEndTheirConnectionOnly) {
  serve();
  const auto channel = honest();
  for (int i = 0; i < 50; ++i) {
    Attacker attacker(server->port());
    ASSERT_TRUE(attacker.hello());
    Bytes header(16, std::byte{0});
    header[3] = std::byte{0x7f};  // 2 GB
    header[4] = std::byte{static_cast<unsigned char>(2 + i % 14)};
    attacker.say(header);
    attacker.await_end();
    ASSERT_NO_FATAL_FAILURE(expect_service(*channel));
  }
  EXPECT_EQ(server->load().connections, 1U);
}

TEST_F(Flood, AddressesThatFailAreDroppedUnheard) {
  options.peers.max_failures_per_address = 5;
  options.peers.failure_memory = Seconds(3600);
  serve();
  const auto channel = honest();
  const Bytes noise(64, std::byte{0xff});
  for (int i = 0; i < 30; ++i) {
    Attacker attacker(server->port());
    attacker.say(noise);
    attacker.await_end();
  }
  ASSERT_NO_FATAL_FAILURE(expect_service(*channel));
  ASSERT_NO_FATAL_FAILURE(expect_service(*honest()));
  server->stop();
  EXPECT_EQ(server->load().refused, 25U);
  EXPECT_THAT(log.text(), HasSubstr("failed handshakes of 127.0.0.2: 5"));
  EXPECT_THAT(log.text(), HasSubstr("too many handshakes of this address failed"));
}

TEST_F(Flood, OneAddressCannotTakeAllConnections) {
  options.peers.max_connections_per_address = 4;
  serve();
  std::vector<std::unique_ptr<Attacker>> attackers;
  for (int i = 0; i < 12; ++i) {
    attackers.push_back(std::make_unique<Attacker>(server->port()));
    attackers.back()->hello();
  }
  const auto channel = honest();
  ASSERT_NO_FATAL_FAILURE(expect_service(*channel));
  EXPECT_LE(server->load().connections, 5U);
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("too many connections from this address"));
}

TEST_F(Flood, ASlowWriterIsShed) {
  options.peers.progress_time = Seconds(0.3);
  options.peers.progress_bytes = 1 << 20;
  serve();
  const auto channel = honest();
  Attacker attacker(server->port());
  ASSERT_TRUE(attacker.hello());
  ASSERT_TRUE(attacker.heard());
  Bytes ping(16);
  ping[0] = std::byte{8};
  ping[4] = std::byte{7};
  std::size_t said = 0;
  // A byte for each call of the honest client.
  serve_until(*channel, 1, [&] {
    if (said < ping.size())
      attacker.say(std::span(ping).subspan(said++, 1));
  });
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("sent less than"));
}

TEST_F(Flood, ASlowReaderIsShed) {
  options.peers.progress_time = Seconds(0.3);
  serve();
  const auto channel = honest();
  Attacker attacker(server->port());
  transport::Limits generous;
  generous.first_credit = generous.max_incoming;
  transport::Protocol protocol(generous);
  ASSERT_TRUE(attacker.say(words_of(protocol)));
  Bytes buffer(4096);
  std::vector<transport::Event> events;
  while (!protocol.ready()) {
    const std::size_t count = attacker.socket().read_some(asio::buffer(buffer));
    ASSERT_TRUE(protocol.receive(std::span(buffer).first(count), Seconds(0), events));
  }
  ASSERT_TRUE(protocol.request({"test", "large", 1, {}}, {}));
  ASSERT_TRUE(attacker.say(words_of(protocol)));
  // It reads no more, whatever comes.
  serve_until(*channel, 1);
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("read less than"));
}

TEST_F(Flood, IdlePeersAreClosedAndPingsKeepClientsOfOurs) {
  options.peers.idle_timeout = Seconds(0.5);
  serve();
  honest_options.heartbeat = Seconds(0.05);
  const auto channel = honest();
  Attacker attacker(server->port());
  ASSERT_TRUE(attacker.hello());
  attacker.await_end();
  EXPECT_TRUE(channel->connected());
  ASSERT_NO_FATAL_FAILURE(expect_service(*channel));
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("idle for too long"));
}

}  // namespace
