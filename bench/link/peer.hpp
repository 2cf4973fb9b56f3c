// What is compared: each peer sends tensors one way and small messages both ways, its own way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench_link {

/// Tensors to send one after another, so many at a time without an answer. The answer to each is
/// an Ack.
struct Load {
  std::size_t tensor_bytes = 0;
  std::size_t in_flight = 1;
  std::size_t count = 0;       ///< tensors
  std::size_t call_bytes = 0;  ///< of one write() and read(); for the peers that let one choose
};

struct Place {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;
};

/// The sending side, in a process of its own, connected. What goes wrong is thrown.
class Client {
 public:
  virtual ~Client() = default;
  /// Seconds from the first tensor's first byte until the last tensor's answer is in.
  virtual double send(const Load& load) = 0;
  /// Seconds of each of `count` round trips of `bytes` there and back, one after another.
  virtual std::vector<double> round_trips(std::size_t bytes, std::size_t count) = 0;
  /// Seconds that `count` small calls take, one after another, while tensors of `large` bytes keep
  /// the same connection busy.
  virtual std::vector<double> waits(std::size_t large, std::size_t small, std::size_t count) {
    (void)large, (void)small, (void)count;
    throw std::logic_error("this peer has one queue: a small message waits for all before it");
  }
};

/// The receiving side, in a process of its own. Serves until it is destroyed.
class Server {
 public:
  virtual ~Server() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

struct Peer {
  std::string name;
  std::function<std::unique_ptr<Server>(const std::string& address)> serve;
  std::function<std::unique_ptr<Client>(const Place& server)> connect;
};

// One file each; which are there is decided by what is installed.
Peer raw_peer();
Peer asio_peer();
Peer tls_peer(const std::string& cipher);
Peer tls_peer();  // with the cipher that cleave has first
Peer cleave_call_peer();
Peer cleave_inline_peer();
Peer cleave_callback_peer();
Peer cleave_tls_peer();
#ifdef CLEAVE_BENCH_ZEROMQ
Peer zeromq_peer();
#endif
#ifdef CLEAVE_BENCH_GRPC
Peer grpc_peer();
#endif

}  // namespace bench_link
