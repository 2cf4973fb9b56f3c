// An echo by Asio's coroutines, one thread at each end: what a round trip costs without blocking.
#include "lib/transport/asio.hpp"

#include "bench/link/peer.hpp"
#include "bench/link/tensors.hpp"

#include <thread>

namespace bench_link {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket socket) {
  socket.set_option(tcp::no_delay(true));
  std::vector<std::byte> buffer(64U << 10);
  boost::system::error_code error;
  while (!error) {
    const std::size_t count = co_await socket.async_read_some(
        asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (!error)
      co_await asio::async_write(socket, asio::buffer(buffer.data(), count),
                                 asio::redirect_error(asio::use_awaitable, error));
  }
}

class EchoServer final : public Server {
 public:
  explicit EchoServer(const std::string& address)
      : acceptor_(context_, {asio::ip::make_address(address), 0}) {
    asio::co_spawn(
        context_,
        [this]() -> asio::awaitable<void> {
          co_await echo(co_await acceptor_.async_accept(asio::use_awaitable));
        },
        asio::detached);
    thread_ = std::thread([this] { context_.run(); });
  }
  ~EchoServer() override {
    context_.stop();
    thread_.join();
  }
  [[nodiscard]] std::uint16_t port() const override { return acceptor_.local_endpoint().port(); }

 private:
  asio::io_context context_;
  tcp::acceptor acceptor_;
  std::thread thread_;
};

class EchoClient final : public Client {
 public:
  explicit EchoClient(const Place& server) {
    socket_.connect({asio::ip::make_address(server.address), server.port});
    socket_.set_option(tcp::no_delay(true));
  }

  double send(const Load&) override { throw std::logic_error("an echo carries no tensors"); }

  std::vector<double> round_trips(std::size_t bytes, std::size_t count) override {
    std::vector<double> times;
    std::exception_ptr failed;
    asio::co_spawn(
        context_,
        [&]() -> asio::awaitable<void> {
          std::vector<std::byte> buffer(bytes);
          for (std::size_t i = 0; i < count; ++i) {
            const double start = seconds();
            co_await asio::async_write(socket_, asio::buffer(buffer), asio::use_awaitable);
            co_await asio::async_read(socket_, asio::buffer(buffer), asio::use_awaitable);
            times.push_back(seconds() - start);
          }
        },
        [&](std::exception_ptr e) { failed = std::move(e); });
    context_.restart();
    context_.run();
    if (failed)
      std::rethrow_exception(failed);
    return times;
  }

 private:
  asio::io_context context_;
  tcp::socket socket_{context_};
};

}  // namespace

Peer asio_peer() {
  return {"asio", [](const std::string& address) { return std::make_unique<EchoServer>(address); },
          [](const Place& server) { return std::make_unique<EchoClient>(server); }};
}

}  // namespace bench_link
