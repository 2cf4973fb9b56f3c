// A plain Asio socket with blocking calls.
#include "bench/link/framed.hpp"

#include <algorithm>
#include <array>

namespace bench_link {
namespace {

class RawPipe final : public Pipe {
 public:
  explicit RawPipe(tcp::socket socket) : socket_(std::move(socket)) {
    socket_.set_option(tcp::no_delay(true));
  }

  void write(std::span<const std::byte> head, std::span<const std::byte> body,
             std::size_t call) override {
    while (!head.empty() || !body.empty()) {
      const std::array<asio::const_buffer, 2> buffers{
          asio::buffer(head.data(), head.size()),
          asio::buffer(body.data(), std::min(call, body.size()))};
      std::size_t count = socket_.write_some(buffers);  // as one call: asio::write cuts at 64 KiB
      const std::size_t of_head = std::min(count, head.size());
      head = head.subspan(of_head);
      body = body.subspan(count - of_head);
    }
  }

  std::size_t read(std::span<std::byte> into) override {
    boost::system::error_code error;
    const std::size_t count = socket_.read_some(asio::buffer(into.data(), into.size()), error);
    if (error && error != asio::error::eof)
      throw boost::system::system_error(error);
    return count;
  }

 private:
  tcp::socket socket_;
};

std::unique_ptr<Pipe> make_raw(tcp::socket socket) {
  return std::make_unique<RawPipe>(std::move(socket));
}

}  // namespace

Peer raw_peer() {
  return {"raw", [](const std::string& address) { return framed_server(address, make_raw); },
          [](const Place& server) { return framed_client(server, make_raw); }};
}

}  // namespace bench_link
