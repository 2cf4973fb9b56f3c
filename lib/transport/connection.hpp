// A stream of bytes and the protocol's state machine, for the client's and the server's side alike.
#pragma once

#include "lib/transport/stream.hpp"

#include <cleave/core/clock.hpp>
#include <cleave/transport/protocol.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

// All members are called on the I/O thread. Keeps itself alive while it is open.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Handlers {
    std::function<void(Event&&)> on_event;
    // Once, with why; nothing else is called afterwards. Both are released then.
    std::function<void(const core::Error&)> on_closed;
  };

  Connection(std::unique_ptr<Stream> stream, const Limits& limits,
             std::shared_ptr<const core::Clock> clock);

  void start(Handlers handlers);
  [[nodiscard]] Protocol& protocol() { return protocol_; }
  // Writes what the protocol has to say. To be called after every call of protocol().
  void flush();
  // At once; on_closed is told `why`.
  void close(const core::Error& why);
  // When all that is to be said has been written.
  void close_when_flushed(const core::Error& why);
  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] core::Seconds last_heard() const { return last_heard_; }
  [[nodiscard]] const std::string& peer() const { return peer_; }

 private:
  core::Result<void> receive(std::span<const std::byte> bytes, std::vector<Event>& events);
  asio::awaitable<void> run();
  asio::awaitable<void> read_loop();
  asio::awaitable<void> write_loop();

  std::unique_ptr<Stream> stream_;
  Protocol protocol_;
  std::shared_ptr<const core::Clock> clock_;
  Handlers handlers_;
  std::string peer_;
  core::Seconds last_heard_;
  bool open_ = false, shaken_ = false, writing_ = false, closing_ = false;
  core::Error closing_why_;
};

}  // namespace cleave::inline v0::transport
