#include "lib/transport/connection.hpp"

#include <new>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;

constexpr std::size_t least_read = 64U << 10;
constexpr std::size_t most_read = 256U << 10;
// Frames are gathered up to so many bytes for one write; more would hold back urgent ones.
constexpr std::size_t most_write = 256U << 10;

core::Error lost(const error_code& error) {
  return {Errc::unavailable,
          error == asio::error::eof ? "the peer closed the connection"
                                    : "the connection broke: " + error.message(),
          {},
          {}};
}

}  // namespace

Connection::Connection(std::unique_ptr<Stream> stream, const Limits& limits,
                       std::shared_ptr<const core::Clock> clock)
    : stream_(std::move(stream)),
      protocol_(limits),
      clock_(std::move(clock)),
      peer_(stream_->peer()) {}

void Connection::start(Handlers handlers) {
  handlers_ = std::move(handlers);
  open_ = true;
  last_heard_ = clock_->now();
  asio::co_spawn(
      stream_->executor(), [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Connection::flush() {
  if (!open_ || !shaken_ || writing_)
    return;
  writing_ = true;
  asio::co_spawn(
      stream_->executor(), [self = shared_from_this()] { return self->write_loop(); },
      asio::detached);
}

void Connection::close(const core::Error& why) {
  if (!open_)
    return;
  open_ = false;
  stream_->close();
  // Moved out first: a handler may drop what holds this connection.
  const Handlers handlers = std::move(handlers_);
  handlers_ = {};
  core::Error error = why;
  if (error.where.empty() || error.where == "connection")
    error.where = peer_;
  handlers.on_closed(error);
}

void Connection::close_when_flushed(const core::Error& why) {
  closing_ = true;
  closing_why_ = why;
  flush();
}

core::Result<void> Connection::receive(std::span<const std::byte> bytes,
                                       std::vector<Event>& events) {
  try {
    return protocol_.receive(bytes, last_heard_, events);
  } catch (const std::bad_alloc&) {
    return core::fail(Errc::exhausted, "out of memory for a body that is within the limits",
                      "connection", "lower max_body and max_incoming");
  }
}

asio::awaitable<void> Connection::run() {
  const auto self = shared_from_this();
  error_code error;
  co_await stream_->handshake(error);
  if (!open_)
    co_return;
  if (error) {
    close(lost(error));
    co_return;
  }
  shaken_ = true;
  flush();
  co_await read_loop();
}

asio::awaitable<void> Connection::read_loop() {
  std::vector<std::byte> buffer(least_read);
  std::vector<Event> events;
  // A copy: a handler may close the connection, which releases the handlers.
  const auto on_event = handlers_.on_event;
  while (open_) {
    error_code error;
    const asio::mutable_buffer into = asio::buffer(buffer);
    std::size_t count = stream_->read(std::span(&into, 1), error);
    while (error == asio::error::would_block) {
      co_await stream_->ready(Stream::Wait::read, error);
      if (!error && open_)
        count = stream_->read(std::span(&into, 1), error);
    }
    if (!open_)
      break;
    if (error) {
      close(lost(error));
      break;
    }
    last_heard_ = clock_->now();
    events.clear();
    const auto done = receive(std::span(buffer).first(count), events);
    for (Event& event : events)
      if (open_)
        on_event(std::move(event));
    if (!open_)
      break;
    if (!done) {
      protocol_.go_away(done.error().what);
      close_when_flushed(done.error());
      break;
    }
    flush();
    if (count == buffer.size() && count < most_read)
      buffer.resize(2 * count);
  }
}

asio::awaitable<void> Connection::write_loop() {
  const auto self = shared_from_this();
  std::vector<OutgoingFrame> frames;
  std::vector<asio::const_buffer> buffers;
  while (open_) {
    frames.clear();
    buffers.clear();
    std::size_t left = 0;
    OutgoingFrame frame;
    while (left < most_write && frames.size() < 64 && protocol_.next(frame)) {
      left += frame.head.size() + frame.body.size();
      frames.push_back(std::move(frame));
    }
    if (frames.empty())
      break;
    for (const OutgoingFrame& f : frames) {
      buffers.emplace_back(f.head.data(), f.head.size());
      if (!f.body.empty())
        buffers.emplace_back(f.body.data(), f.body.size());
    }
    // asio::async_write would cut this into calls of 64 KiB.
    std::size_t first = 0;
    while (left > 0) {
      error_code error;
      std::size_t count = stream_->write(std::span(buffers).subspan(first), error);
      while (error == asio::error::would_block) {
        co_await stream_->ready(Stream::Wait::write, error);
        if (!error && open_)
          count = stream_->write(std::span(buffers).subspan(first), error);
      }
      if (!open_)
        co_return;
      if (error) {
        close(lost(error));
        co_return;
      }
      left -= count;
      while (count > 0 && count >= buffers[first].size()) count -= buffers[first++].size();
      if (count > 0)
        buffers[first] += count;
    }
  }
  writing_ = false;
  if (closing_)
    close(closing_why_);
}

}  // namespace cleave::inline v0::transport
