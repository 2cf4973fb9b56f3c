// Real TLS over loopback sockets.
#include "lib/transport/tls_context.hpp"
#include "tests/support/kept_log.hpp"
#include "tests/support/pki.hpp"
#include "tests/support/raw_tls.hpp"

#include <cleave/transport/channel.hpp>
#include <cleave/transport/protocol.hpp>
#include <cleave/transport/server.hpp>

#include <boost/asio/ip/udp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <functional>
#include <future>
#include <random>
#include <thread>

namespace {

using namespace cleave;
using core::Errc;
using core::Result;
using core::Seconds;
using testing::HasSubstr;
using transport::CertificateOptions;
using transport::Channel;
using transport::ChannelOptions;
using transport::Server;
using transport::ServerOptions;
using transport::Tls;
using Bytes = std::vector<std::byte>;
namespace asio = boost::asio;
using tcp = asio::ip::tcp;

Bytes body_of(std::size_t size, std::size_t seed = 1) {
  Bytes body(size);
  for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<std::byte>(i * 131 + seed);
  return body;
}

transport::Call echo(Bytes body = {}) {
  transport::Call call;
  call.service = "test";
  call.method = "echo";
  call.body = std::move(body);
  return call;
}

// A server on 127.0.0.1 with the certificate "server", and what its log says.
class TlsTest : public testing::Test {
 protected:
  TlsTest() {
    pki.sign("server", {"127.0.0.1", "localhost"});
    server_options.security = pki.server("server");
    server_options.log = &log;
    server_options.peers.refusal_delay = Seconds(0);
    client_options.security = pki.client();
  }

  void serve() {
    auto listening = Server::listen(server_options);
    ASSERT_TRUE(listening) << listening.error().message();
    server = std::move(*listening);
    server->handle("test", "echo",
                   [](const transport::Incoming& in) -> Result<Bytes> { return in.body; });
    client_options.port = server->port();
  }
  void expect_service() {
    const auto channel = Channel::connect(client_options);
    ASSERT_TRUE(channel) << channel.error().message();
    const auto reply = (*channel)->call(echo(body_of(1000)));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->body, body_of(1000));
  }
  // The client is told `client` and the log `operator_reads`, of which the client learns nothing.
  void expect_refusal(Errc code, const std::string& client, const std::string& operator_reads) {
    const auto channel = Channel::connect(client_options);
    ASSERT_FALSE(channel);
    EXPECT_EQ(channel.error().code, code) << channel.error().message();
    EXPECT_THAT(channel.error().message(), HasSubstr(client));
    if (!server)
      return;
    server->stop();  // all is in the log then
    EXPECT_THAT(log.text(), HasSubstr(operator_reads));
    EXPECT_THAT(log.text(), HasSubstr("127.0.0.1:"));
    if (client != operator_reads) {
      EXPECT_THAT(channel.error().message(), testing::Not(HasSubstr(operator_reads)));
    }
  }
  // A token that the server admits.
  std::string with_token() {
    const std::string token = transport::make_token().value();
    server_options.security.tokens_file =
        pki.write("tokens", transport::token_line(token, "camera").value() + "\n");
    return token;
  }

  tests::Pki pki;
  tests::KeptLog log;
  ServerOptions server_options;
  ChannelOptions client_options;
  std::unique_ptr<Server> server;
};

TEST_F(TlsTest, BodiesOfAllSizesComeBack) {
  serve();
  const auto channel = Channel::connect(client_options);
  ASSERT_TRUE(channel) << channel.error().message();
  for (const std::size_t size : {0U, 1U, 16383U, 16384U, 16385U, 65537U, 5000000U}) {
    const auto reply = (*channel)->call(echo(body_of(size)));
    ASSERT_TRUE(reply) << reply.error().message();
    EXPECT_EQ(reply->body, body_of(size)) << size;
  }
}

TEST_F(TlsTest, ManyThreadsCallOnOneChannel) {
  server_options.workers = 2;
  serve();
  const auto channel = *Channel::connect(client_options);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 25; ++i) {
        const Bytes body = body_of((t * 7919 + i * 104729) % 200000, t + i);
        const auto reply = channel->call(echo(body));
        right += reply && reply->body == body ? 1 : 0;
      }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(right, 100);
}

TEST_F(TlsTest, ACertificateIsForNamesAndAddresses) {
  serve();
  expect_service();
  client_options.host = "localhost";
  expect_service();
  client_options.security.server_name = "127.0.0.1";
  expect_service();
}

TEST_F(TlsTest, NobodyElsesAuthorityIsTrusted) {
  const tests::Pki other;
  client_options.security = other.client();
  serve();
  expect_refusal(Errc::permission_denied, "nobody trusted here has signed",
                 "does not accept this side's certificate");
}

TEST_F(TlsTest, TheSystemsAuthoritiesDoNotKnowOurs) {
  client_options.security = {};
  client_options.security.tls = Tls::on;
  serve();
  expect_refusal(Errc::permission_denied, "nobody trusted here has signed",
                 "does not accept this side's certificate");
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  pki.sign("server", {"127.0.0.1"}, CertificateOptions::Role::server, Seconds(-60));
  serve();
  expect_refusal(Errc::permission_denied, "the server's certificate has expired",
                 "does not accept this side's certificate");
}

TEST_F(TlsTest, ACertificateForAnotherNameIsRefused) {
  pki.sign("server", {"192.0.2.1", "cloud.example"});
  serve();
  expect_refusal(Errc::permission_denied, "is for another name",
                 "does not accept this server's certificate");
  client_options.security.server_name = "cloud.example";
  server.reset();
  serve();
  expect_service();
}

TEST_F(TlsTest, AClientsCertificateServesNoServer) {
  pki.sign("server", {"127.0.0.1"}, CertificateOptions::Role::client);
  serve();
  expect_refusal(Errc::permission_denied, "the server's certificate is not accepted",
                 "does not accept this side's certificate");
}

TEST_F(TlsTest, MutualTlsLetsCertifiedClientsIn) {
  pki.sign("client", {"camera"}, CertificateOptions::Role::client);
  server_options.security.client_ca_file = pki.path("ca.pem");
  client_options.security.certificate_file = pki.path("client.pem");
  client_options.security.key_file = pki.path("client.key");
  serve();
  expect_service();
}

TEST_F(TlsTest, NoClientCertificate) {
  server_options.security.client_ca_file = pki.path("ca.pem");
  serve();
  expect_refusal(Errc::permission_denied, "asks for a certificate of this client",
                 "no client certificate");
}

TEST_F(TlsTest, AClientCertificateOfAnotherAuthority) {
  const tests::Pki other;
  other.sign("client", {"camera"}, CertificateOptions::Role::client);
  server_options.security.client_ca_file = pki.path("ca.pem");
  client_options.security.certificate_file = other.path("client.pem");
  client_options.security.key_file = other.path("client.key");
  serve();
  expect_refusal(Errc::permission_denied, "does not accept this client's certificate",
                 "unable to get");
}

TEST_F(TlsTest, AnExpiredClientCertificateLooksTheSameToTheClient) {
  pki.sign("client", {"camera"}, CertificateOptions::Role::client, Seconds(-60));
  server_options.security.client_ca_file = pki.path("ca.pem");
  client_options.security.certificate_file = pki.path("client.pem");
  client_options.security.key_file = pki.path("client.key");
  serve();
  expect_refusal(Errc::permission_denied, "does not accept this client's certificate", "expired");
}

TEST_F(TlsTest, TheRightTokenIsLetIn) {
  client_options.security.token = with_token();
  serve();
  expect_service();
  EXPECT_THAT(log.text(), HasSubstr("authorised as camera"));
  EXPECT_THAT(log.text(), testing::Not(HasSubstr(client_options.security.token)));
}

TEST_F(TlsTest, AWrongToken) {
  with_token();
  client_options.security.token = transport::make_token().value();
  serve();
  expect_refusal(Errc::permission_denied, "not authorised",
                 "wrong token; failed handshakes of 127.0.0.1: 1");
}

TEST_F(TlsTest, NoTokenWhereOneIsWantedIsToldAtOnce) {
  with_token();
  serve();
  expect_refusal(Errc::permission_denied, "not authorised", "no token");
}

TEST_F(TlsTest, AServerWithoutTokensIgnoresOne) {
  client_options.security.token = transport::make_token().value();
  serve();
  expect_service();
}

TEST_F(TlsTest, APlaintextClient) {
  client_options.security = {};
  serve();
  expect_refusal(Errc::mismatch, "the peer speaks TLS and this side does not",
                 "the peer does not speak TLS");
}

TEST_F(TlsTest, APlaintextServer) {
  server_options.security = {};
  serve();
  expect_refusal(Errc::corrupt, "the peer does not speak TLS",
                 "the peer speaks TLS and this side does not");
}

// Of what a raw peer of the server gets to read, until the server closes.
Bytes read_all(tests::RawTls& tls) {
  Bytes all, buffer(4096);
  while (const std::size_t count = tls.read(buffer))
    all.insert(all.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(count));
  return all;
}

struct RawClient {
  explicit RawClient(std::uint16_t port) {
    socket.connect({asio::ip::address_v4::loopback(), port});
  }
  asio::io_context context;
  tcp::socket socket{context};
};

TEST_F(TlsTest, ATls12Client) {
  serve();
  {
    RawClient raw(server->port());
    const tests::RawTls tls(raw.socket.native_handle(), {false, TLS1_2_VERSION, {}, {}, {}});
    EXPECT_FALSE(tls.shaken());
  }
  expect_service();
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("the peer does not speak TLS 1.3"));
}

TEST_F(TlsTest, ATls12Server) {
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  client_options.port = acceptor.local_endpoint().port();
  std::thread old([&] {
    tcp::socket socket = acceptor.accept();
    const tests::RawTls tls(
        socket.native_handle(),
        {true, TLS1_2_VERSION, pki.path("server.pem"), pki.path("server.key"), {}});
    EXPECT_FALSE(tls.shaken());
  });
  expect_refusal(Errc::version, "does not speak TLS 1.3", "");
  old.join();
}

TEST_F(TlsTest, RefusedClientsReadTheSameWhateverWasWrong) {
  with_token();
  serve();
  const auto answer = [&](std::function<void(transport::Protocol&)> say) {
    RawClient raw(server->port());
    tests::RawTls tls(raw.socket.native_handle(), {});
    EXPECT_TRUE(tls.shaken());
    transport::Protocol protocol({});
    say(protocol);
    transport::OutgoingFrame frame;
    while (protocol.next(frame)) tls.write(frame.head);
    raw.socket.shutdown(tcp::socket::shutdown_send);
    return read_all(tls);
  };
  transport::Protocol expected({});
  expected.refuse("not authorised");
  transport::OutgoingFrame away;
  ASSERT_TRUE(expected.next(away));
  EXPECT_EQ(answer([](auto& p) { p.authenticate(std::string(43, 'x')); }), away.head);
  EXPECT_EQ(answer([](auto& p) { p.authenticate(""); }), away.head);
  EXPECT_EQ(answer([](auto& p) { p.authenticate(std::string(500, 'x')); }), away.head);
  EXPECT_EQ(answer([](auto& p) { p.ping(Seconds(1)); }), away.head);
  EXPECT_EQ(answer([](auto& p) { p.refuse("no hello"); }), away.head);
  // Who stops before it is wrong gets nothing, not even HELLO.
  EXPECT_EQ(answer([](auto&) {}), Bytes{});
}

TEST_F(TlsTest, TheDelayIsTheSameAndTheRightTokenKnowsNone) {
  const std::string token = with_token();
  server_options.peers.refusal_delay = Seconds(3600);
  client_options.connect_timeout = Seconds(0.3);
  client_options.security.token = transport::make_token().value();
  serve();
  EXPECT_EQ(Channel::connect(client_options).error().code, Errc::timed_out);
  client_options.connect_timeout = Seconds(30);
  client_options.security.token = token;
  expect_service();
}

TEST_F(TlsTest, FailuresCloseTheDoorForTheirAddress) {
  with_token();
  server_options.peers.max_failures_per_address = 3;
  server_options.peers.failure_memory = Seconds(3600);
  client_options.security.token = transport::make_token().value();
  serve();
  for (int i = 0; i < 3; ++i)
    EXPECT_THAT(Channel::connect(client_options).error().message(), HasSubstr("not authorised"));
  // Nothing is said any more, and no handshake is made.
  EXPECT_EQ(Channel::connect(client_options).error().code, Errc::unavailable);
  server->stop();
  EXPECT_THAT(log.text(), HasSubstr("too many handshakes of this address failed"));
}

// Copies between a client and the server until `most` bytes have gone in one direction; then both
// are cut.
class CuttingRelay {
 public:
  CuttingRelay(std::uint16_t to, bool client_to_server, std::size_t most)
      : thread_([this, to, client_to_server, most] {
          try {
            tcp::socket client = acceptor_.accept(), server(context_);
            server.connect({asio::ip::address_v4::loopback(), to});
            for (tcp::socket* socket : {&client, &server}) {
              socket->set_option(tcp::no_delay(true));
              socket->non_blocking(true);
            }
            forward(client, server, client_to_server ? most : std::size_t(-1));
            forward(server, client, client_to_server ? std::size_t(-1) : most);
            context_.run();
          } catch (const boost::system::system_error&) {
          }
        }) {}
  ~CuttingRelay() { thread_.join(); }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

 private:
  void forward(tcp::socket& from, tcp::socket& to, std::size_t left) {
    asio::co_spawn(
        context_,
        [this, &from, &to, left]() mutable -> asio::awaitable<void> {
          Bytes buffer(65536);
          transport::error_code error;
          while (left > 0 && !error) {
            const std::size_t count = co_await from.async_read_some(
                asio::buffer(buffer.data(), std::min(left, buffer.size())),
                asio::redirect_error(asio::use_awaitable, error));
            if (!error)
              co_await asio::async_write(to, asio::buffer(buffer.data(), count),
                                         asio::redirect_error(asio::use_awaitable, error));
            left -= count;
          }
          context_.stop();
        },
        asio::detached);
  }

  asio::io_context context_;
  tcp::acceptor acceptor_{context_, {asio::ip::address_v4::loopback(), 0}};
  std::thread thread_;
};

// Instrumented builds look at fewer places.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t cut_step = 13;
#else
constexpr std::size_t cut_step = 1;
#endif

TEST_F(TlsTest, CutAtEachByteOfTheHandshakeBothSidesSayOneThing) {
  pki.sign("client", {"camera"}, CertificateOptions::Role::client);
  client_options.security.certificate_file = pki.path("client.pem");
  client_options.security.key_file = pki.path("client.key");
  server_options.security.client_ca_file = pki.path("ca.pem");
  client_options.security.token = with_token();
  serve();
  const std::uint16_t port = client_options.port;
  for (const bool client_to_server : {true, false}) {
    std::size_t at = 0;
    for (bool opened = false; !opened; at += cut_step) {
      ASSERT_LT(at, 5000U) << "the handshake does not end";
      const CuttingRelay relay(port, client_to_server, at);
      client_options.port = relay.port();
      const auto channel = Channel::connect(client_options);
      opened = channel.has_value();
      if (!opened) {
        EXPECT_EQ(channel.error().code, Errc::unavailable)
            << at << ": " << channel.error().message();
      }
    }
    EXPECT_GT(at, 200U);
  }
  client_options.port = port;
  expect_service();
}

TEST(TlsOptions, AutomaticIsOnBeyondLoopback) {
  const auto automatic = [](const std::string& host) { return transport::uses_tls({}, host); };
  for (const char* host : {"127.0.0.1", "127.8.0.1", "::1", "localhost"})
    EXPECT_FALSE(automatic(host));
  for (const char* host :
       {"10.0.0.1", "::2", "cloud", "127.0.0.1.example", "localhost.example", ""})
    EXPECT_TRUE(automatic(host)) << host;
  transport::ClientSecurity security;
  security.ca_file = "ca.pem";
  EXPECT_TRUE(transport::uses_tls(security, "127.0.0.1"));
  security.tls = Tls::off;
  EXPECT_FALSE(transport::uses_tls(security, "cloud"));
}

TEST_F(TlsTest, BeyondLoopbackPlaintextIsAnErrorUnlessMeant) {
  ServerOptions open;
  open.address = "0.0.0.0";
  const auto refused = Server::listen(open);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::permission_denied);
  EXPECT_THAT(refused.error().hint, HasSubstr("--insecure"));
  open.security.tls = Tls::off;
  EXPECT_TRUE(Server::listen(open));
  client_options.security.token = with_token();
  open.security.tokens_file = server_options.security.tokens_file;
  EXPECT_EQ(Server::listen(open).error().code, Errc::permission_denied);
  server_options.address = "0.0.0.0";
  serve();
  expect_service();
}

TEST_F(TlsTest, ATokenDoesNotLeaveTheMachineUnencrypted) {
  // An address of this machine that is not of the loopback interface, without a packet sent.
  asio::io_context context;
  asio::ip::udp::socket probe(context);
  transport::error_code error;
  probe.connect({asio::ip::make_address("192.0.2.1"), 9}, error);
  const auto address = probe.local_endpoint(error).address();
  if (error || address.is_loopback() || address.is_unspecified())
    GTEST_SKIP() << "this machine has no address but loopback";
  server_options = {};
  server_options.address = address.to_string();
  server_options.security.tls = Tls::off;
  serve();
  client_options.host = address.to_string();
  client_options.security = {};
  client_options.security.tls = Tls::off;
  expect_service();
  client_options.security.token = transport::make_token().value();
  EXPECT_EQ(Channel::connect(client_options).error().code, Errc::permission_denied);
}

TEST_F(TlsTest, FilesThatAreWrongSaySo) {
  const auto listen_error = [&] { return Server::listen(server_options).error(); };
  server_options.security.key_file = "/nowhere";
  EXPECT_EQ(listen_error().code, Errc::not_found);
  server_options.security.key_file = "";
  EXPECT_EQ(listen_error().code, Errc::invalid_argument);
  pki.sign("other", {"127.0.0.1"});
  server_options.security.key_file = pki.path("other.key");
  EXPECT_EQ(listen_error().code, Errc::corrupt);
  server_options.security = pki.server("server");
  ASSERT_EQ(::chmod(pki.path("server.key").c_str(), 0644), 0);
  EXPECT_EQ(listen_error().code, Errc::permission_denied);
  ASSERT_EQ(::chmod(pki.path("server.key").c_str(), 0600), 0);
  server_options.security.certificate_file = pki.write("junk", "no certificate");
  EXPECT_EQ(listen_error().code, Errc::corrupt);
  server_options.security = {};
  server_options.security.tls = Tls::on;
  EXPECT_EQ(listen_error().code, Errc::invalid_argument);
  client_options.security.ca_file = "/nowhere";
  EXPECT_EQ(Channel::connect(client_options).error().code, Errc::not_found);
  client_options.security = pki.client();
  client_options.security.token = "short";
  EXPECT_EQ(Channel::connect(client_options).error().code, Errc::invalid_argument);
}

// Gathered writes of any sizes through small kernel buffers, reads of any sizes: every byte once
// and in order.
TEST_F(TlsTest, AStreamKeepsBytesInOrderWhateverTheSizes) {
  const auto to_client = *transport::TlsContext::for_server(server_options.security);
  const auto to_server = *transport::TlsContext::for_client(client_options.security, "127.0.0.1");
  asio::io_context context;
  tcp::acceptor acceptor(context, {asio::ip::address_v4::loopback(), 0});
  acceptor.set_option(asio::socket_base::receive_buffer_size(8192));
  tcp::socket client(context);
  client.open(tcp::v4());
  client.set_option(asio::socket_base::send_buffer_size(8192));
  client.connect(acceptor.local_endpoint());
  const auto reader = transport::make_tls_stream(acceptor.accept(), to_client, 0);
  const auto writer = transport::make_tls_stream(std::move(client), to_server, 0);
  const Bytes sent = body_of(3000000);
  Bytes received;
  const auto write_all = [&]() -> asio::awaitable<void> {
    std::mt19937_64 random(1);
    transport::error_code error;
    co_await writer->handshake(error);
    std::size_t at = 0;
    while (at < sent.size() && !error) {
      std::vector<asio::const_buffer> pieces;
      std::size_t left = 0;
      for (std::size_t i = 1 + random() % 20; i > 0 && at + left < sent.size(); --i) {
        const std::size_t most = random() % 3 == 0 ? 100000 : 40;
        const std::size_t size = std::min<std::size_t>(random() % most, sent.size() - at - left);
        pieces.emplace_back(sent.data() + at + left, size);
        left += size;
      }
      while (left > 0 && !error) {
        std::size_t count = writer->write(pieces, error);
        if (error == asio::error::would_block) {
          co_await writer->ready(transport::Stream::Wait::write, error);
          continue;
        }
        at += count;
        left -= count;
        for (asio::const_buffer& piece : pieces) {
          const std::size_t of_this = std::min(count, piece.size());
          piece += of_this;
          count -= of_this;
        }
      }
    }
    EXPECT_FALSE(error) << error.message();
    writer->close();
  };
  const auto read_everything = [&]() -> asio::awaitable<void> {
    std::mt19937_64 random(2);
    transport::error_code error;
    co_await reader->handshake(error);
    Bytes one(50000), two(50000);
    while (!error) {
      const std::array<asio::mutable_buffer, 2> into{asio::buffer(one.data(), random() % 50000),
                                                     asio::buffer(two.data(), 1 + random() % 50)};
      const std::size_t count = reader->read(into, error);
      const std::size_t first = std::min(count, into[0].size());
      received.insert(received.end(), one.begin(),
                      one.begin() + static_cast<std::ptrdiff_t>(first));
      received.insert(received.end(), two.begin(),
                      two.begin() + static_cast<std::ptrdiff_t>(count - first));
      if (error == asio::error::would_block)
        co_await reader->ready(transport::Stream::Wait::read, error);
    }
    EXPECT_EQ(error, asio::error::eof);
  };
  asio::co_spawn(context, write_all, asio::detached);
  asio::co_spawn(context, read_everything, asio::detached);
  context.run();
  EXPECT_EQ(received, sent);
}

TEST(Certificates, RefuseWhatTheyCannotBeFor) {
  const auto authority = *transport::make_authority("a", Seconds(60));
  const auto code = [&](std::vector<std::string> names) {
    return transport::make_certificate(authority, {std::move(names)}).error().code;
  };
  EXPECT_EQ(code({}), Errc::invalid_argument);
  EXPECT_EQ(code({"a,IP:1.2.3.4"}), Errc::invalid_argument);
  EXPECT_EQ(code({"a b"}), Errc::invalid_argument);
  EXPECT_EQ(code({"a\n"}), Errc::invalid_argument);
  EXPECT_TRUE(transport::make_certificate(authority, {{"::1", "*.example", "a-b.c"}}));
  EXPECT_EQ(transport::make_certificate({"", ""}, {{"a"}}).error().code, Errc::corrupt);
  const auto other = *transport::make_authority("b", Seconds(60));
  EXPECT_EQ(transport::make_certificate({authority.certificate, other.key}, {{"a"}}).error().code,
            Errc::corrupt);
  EXPECT_EQ(transport::make_authority("", Seconds(60)).error().code, Errc::invalid_argument);
}

}  // namespace
