// What streams on a socket have in common, whatever the bytes on it are.
#pragma once

#include "lib/transport/send_window.hpp"
#include "lib/transport/stream.hpp"

namespace cleave::inline v0::transport {

class SocketStream : public Stream {
 public:
  SocketStream(tcp::socket socket, std::uint32_t unsent_low_water)
      : socket_(std::move(socket)), window_(socket_, unsent_low_water) {
    error_code error;
    const auto endpoint = socket_.remote_endpoint(error);
    peer_ = error ? "unknown" : to_string(endpoint);
    socket_.non_blocking(true, error);  // if it fails, so will the first read
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

 protected:
  [[nodiscard]] tcp::socket& socket() { return socket_; }

 private:
  tcp::socket socket_;
  SendWindow window_;
  std::string peer_;
};

}  // namespace cleave::inline v0::transport
