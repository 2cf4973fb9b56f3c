#include "lib/transport/send_window.hpp"
#include "lib/transport/stream.hpp"

#include <utility>

namespace cleave::inline v0::transport {
namespace {

class TcpStream final : public Stream {
 public:
  TcpStream(tcp::socket socket, std::uint32_t unsent_low_water)
      : socket_(std::move(socket)), window_(socket_, unsent_low_water) {
    error_code error;
    const auto endpoint = socket_.remote_endpoint(error);
    peer_ = error ? "unknown" : to_string(endpoint);
    socket_.non_blocking(true, error);  // if it fails, so will the first read
  }

  asio::awaitable<void> handshake(error_code& error) override {
    error = {};
    co_return;
  }
  std::size_t read(std::span<const asio::mutable_buffer> into, error_code& error) override {
    // A read that was not filled has emptied the socket: who reads again only hears that.
    if (std::exchange(drained_, false)) {
      error = asio::error::would_block;
      return 0;
    }
    const std::size_t count = socket_.read_some(into, error);
    drained_ = !error && count < asio::buffer_size(into);
    return count;
  }
  // As one operation it spares the call that arms a wait.
  asio::awaitable<std::size_t> read_later(asio::mutable_buffer into, error_code& error) override {
    drained_ = false;
    const std::size_t count =
        co_await socket_.async_read_some(into, asio::redirect_error(asio::use_awaitable, error));
    drained_ = !error && count < into.size();
    co_return count;
  }
  std::size_t write(std::span<const asio::const_buffer> from, error_code& error) override {
    if (window_.full()) {
      error = asio::error::would_block;
      return 0;
    }
    return socket_.write_some(from, error);
  }
  asio::awaitable<void> ready(Wait what, error_code& error) override {
    if (what == Wait::write)
      co_await window_.ready(error);
    else
      co_await socket_.async_wait(tcp::socket::wait_read,
                                  asio::redirect_error(asio::use_awaitable, error));
  }
  [[nodiscard]] bool paced() const override { return window_.active(); }
  [[nodiscard]] bool full() const override { return window_.full(); }
  void pace(core::BytesPerSecond rate, std::size_t chunk) override { window_.pace(rate, chunk); }
  void close() override {
    window_.cancel();
    error_code ignored;
    socket_.close(ignored);
  }
  [[nodiscard]] asio::any_io_executor executor() override { return socket_.get_executor(); }
  [[nodiscard]] std::string peer() const override { return peer_; }

 private:
  tcp::socket socket_;
  SendWindow window_;
  std::string peer_;
  bool drained_ = false;
};

}  // namespace

std::unique_ptr<Stream> make_tcp_stream(tcp::socket socket, std::uint32_t unsent_low_water) {
  return std::make_unique<TcpStream>(std::move(socket), unsent_low_water);
}

}  // namespace cleave::inline v0::transport
