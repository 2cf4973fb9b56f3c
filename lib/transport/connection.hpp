// A stream of bytes and the protocol's state machine, for the client's and the server's side alike.
#pragma once

#include "lib/transport/stream.hpp"

#include <cleave/core/clock.hpp>
#include <cleave/transport/protocol.hpp>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

// All members are called in the I/O thread's section (section.hpp); what calls back does so on that
// thread. Keeps itself alive while it is open.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  struct Handlers {
    std::function<void(Event&&)> on_event;
    // Once, with why; nothing else is called afterwards. Both are released then.
    std::function<void(const core::Error&)> on_closed;
    // What the peer may send may have become less; may be empty.
    std::function<void()> on_changed = {};
  };

  Connection(std::unique_ptr<Stream> stream, const Limits& limits,
             std::shared_ptr<const core::Clock> clock);

  void start(Handlers handlers);
  [[nodiscard]] Protocol& protocol() { return protocol_; }
  // Writes what the protocol has to say, or after the event that is being handled. To be called
  // after every call of protocol().
  void flush();
  // Somebody let go of bodies.
  void changed() {
    if (handlers_ && handlers_->on_changed)
      handlers_->on_changed();
  }
  // At once; on_closed is told `why`.
  void close(const core::Error& why);
  // When all that is to be said has been written.
  void close_when_flushed(const core::Error& why);
  [[nodiscard]] asio::any_io_executor executor() { return stream_->executor(); }
  [[nodiscard]] bool open() const { return open_; }
  [[nodiscard]] core::Seconds last_heard() const { return last_heard_; }
  struct Traffic {
    bool receiving = false;     // a frame or a body has begun to come and is not whole
    bool sending = false;       // the peer does not take what is to be written
    std::uint64_t read = 0;     // bytes in all
    std::uint64_t written = 0;  // likewise
  };
  [[nodiscard]] Traffic traffic() const {
    return {protocol_.receiving(), writing_, bytes_read_, bytes_written_};
  }
  [[nodiscard]] const std::string& peer() const { return peer_; }

 private:
  asio::awaitable<void> run();
  asio::awaitable<void> read_loop();
  // Reads once, if there is something; false: nothing there now, or closed.
  bool read_some(error_code& error);
  // What was read, into `room` first and then into `buffer`. False: closed.
  bool took(std::span<std::byte> room, std::span<const std::byte> buffer, std::size_t count);
  core::Result<void> take(std::span<std::byte> room, std::span<const std::byte> buffer,
                          std::size_t count);
  // Writes until there is nothing to say or the stream takes no more. False: the latter.
  bool write_some(error_code& error);
  asio::awaitable<void> write_later();

  std::unique_ptr<Stream> stream_;
  Protocol protocol_;
  std::shared_ptr<const core::Clock> clock_;
  const bool paced_;
  std::shared_ptr<const Handlers> handlers_;  // null: closed, or not started
  std::string peer_;
  core::Seconds last_heard_;
  bool open_ = false, shaken_ = false, handling_ = false, writing_ = false, closing_ = false;
  core::Error closing_why_;

  std::uint64_t bytes_read_ = 0, bytes_written_ = 0;
  std::array<std::byte, 4096> first_;  // of what is waited for
  std::size_t room_ = 0;               // to read into a body at a time
  std::vector<Event> events_;
  // What is being written: the buffers from `next_buffer_` on are still to go.
  std::vector<OutgoingFrame> frames_;
  std::vector<asio::const_buffer> buffers_;
  std::size_t next_buffer_ = 0, unwritten_ = 0;
};

}  // namespace cleave::inline v0::transport
