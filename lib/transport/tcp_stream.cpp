#include "lib/transport/socket_stream.hpp"

#include <utility>

namespace cleave::inline v0::transport {
namespace {

class TcpStream final : public SocketStream {
 public:
  using SocketStream::SocketStream;

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
    const std::size_t count = socket().read_some(into, error);
    drained_ = !error && count < asio::buffer_size(into);
    return count;
  }
  // As one operation it spares the call that arms a wait.
  asio::awaitable<std::size_t> read_later(asio::mutable_buffer into, error_code& error) override {
    drained_ = false;
    const std::size_t count =
        co_await socket().async_read_some(into, asio::redirect_error(asio::use_awaitable, error));
    drained_ = !error && count < into.size();
    co_return count;
  }
  std::size_t write(std::span<const asio::const_buffer> from, error_code& error) override {
    if (full()) {
      error = asio::error::would_block;
      return 0;
    }
    return socket().write_some(from, error);
  }

 private:
  bool drained_ = false;
};

}  // namespace

std::unique_ptr<Stream> make_tcp_stream(tcp::socket socket, std::uint32_t unsent_low_water) {
  return std::make_unique<TcpStream>(std::move(socket), unsent_low_water);
}

}  // namespace cleave::inline v0::transport
