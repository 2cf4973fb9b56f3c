// The least that carries tensors over a stream of bytes: length-prefixed messages, blocking calls,
// one thread at each end. Over a plain socket it is the limit that the others are held against.
#pragma once

#include "bench/link/peer.hpp"
#include "lib/transport/asio.hpp"

#include <memory>
#include <span>
#include <string>

namespace bench_link {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

/// A blocking stream of bytes.
class Pipe {
 public:
  virtual ~Pipe() = default;
  /// All of head, then all of body, in calls of at most `call` bytes.
  virtual void write(std::span<const std::byte> head, std::span<const std::byte> body,
                     std::size_t call) = 0;
  /// At least one byte; 0 when the peer has closed.
  virtual std::size_t read(std::span<std::byte> into) = 0;
};

using MakePipe = std::function<std::unique_ptr<Pipe>(tcp::socket)>;

std::unique_ptr<Client> framed_client(const Place& server, const MakePipe& make);
std::unique_ptr<Server> framed_server(const std::string& address, const MakePipe& make);

}  // namespace bench_link
