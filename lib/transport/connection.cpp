#include "lib/transport/connection.hpp"

#include "lib/transport/foreign.hpp"

#include <algorithm>
#include <array>
#include <new>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;

constexpr std::size_t read_size = 64U << 10;
constexpr std::size_t most_room = 1U << 20;
// A peer that sends without end lets others be heard after so many bytes.
constexpr std::size_t turn = 4U << 20;
// Frames are gathered up to a chunk's size for one write, within these bounds: more would hold back
// urgent ones.
constexpr std::size_t least_write = 4096;
constexpr std::size_t most_write = 1U << 20;
constexpr std::size_t most_frames = 64;

// What is read beside a body is parsed at once, so that all connections of a thread share the
// memory for it: an idle one has next to none.
std::span<std::byte> read_buffer() {
  thread_local std::vector<std::byte> buffer(read_size);
  return buffer;
}

core::Error lost(const Stream& stream, const error_code& error) {
  if (const core::Error* failure = stream.failure())
    return *failure;
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
      paced_(limits.chunk_time > 0),
      peer_(stream_->peer()) {}

void Connection::start(Handlers handlers) {
  handlers_ = std::make_shared<const Handlers>(std::move(handlers));
  open_ = true;
  last_heard_ = clock_->now();
  asio::co_spawn(
      stream_->executor(), [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Connection::flush() {
  if (!open_ || !shaken_ || writing_ || handling_)
    return;
  error_code error;
  if (write_some(error)) {
    // Not from here, where nobody expects the connection to go.
    if (closing_)
      asio::post(stream_->executor(),
                 [self = shared_from_this()] { self->close(self->closing_why_); });
    return;
  }
  writing_ = true;
  asio::co_spawn(
      stream_->executor(), [self = shared_from_this()] { return self->write_later(); },
      asio::detached);
}

void Connection::close(const core::Error& why) {
  if (!open_)
    return;
  open_ = false;
  stream_->close();
  // Moved out first: a handler may drop what holds this connection.
  const auto handlers = std::exchange(handlers_, nullptr);
  core::Error error = why;
  if (error.where.empty() || error.where == "connection")
    error.where = peer_;
  handlers->on_closed(error);
}

void Connection::close_when_flushed(const core::Error& why) {
  closing_ = true;
  closing_why_ = why;
  flush();
}

asio::awaitable<void> Connection::run() {
  const auto self = shared_from_this();
  error_code error;
  co_await stream_->handshake(error);
  if (!open_)
    co_return;
  if (error) {
    close(lost(*stream_, error));
    co_return;
  }
  shaken_ = true;
  flush();
  co_await read_loop();
}

asio::awaitable<void> Connection::read_loop() {
  room_ = read_size;
  std::size_t read = 0;
  while (open_) {
    error_code error;
    const std::uint64_t before = bytes_read_;
    const bool more = read_some(error);
    read += static_cast<std::size_t>(bytes_read_ - before);
    if (!open_)
      break;
    if (!more && error == asio::error::would_block) {
      read = 0;
      std::size_t count = 0;
      // Not into a body: it may go while this waits.
      if (protocol_.in_body())
        co_await stream_->ready(Stream::Wait::read, error);
      else
        count = co_await stream_->read_later(asio::buffer(first_), error);
      if (!open_)
        break;
      if (!error && count > 0 && !took({}, first_, count))
        break;
      if (!error)
        continue;
    }
    if (!open_)
      break;
    if (error) {
      close(lost(*stream_, error));
      break;
    }
    if (!more)
      break;  // closing
    if (read >= turn) {
      read = 0;
      co_await asio::post(stream_->executor(), asio::use_awaitable);
    }
  }
}

bool Connection::read_some(error_code& error) {
  const auto room = protocol_.room(room_);
  const auto buffer = read_buffer();
  const std::array<asio::mutable_buffer, 2> into{asio::buffer(room.data(), room.size()),
                                                 asio::buffer(buffer.data(), buffer.size())};
  const std::size_t count = stream_->read(std::span(into).subspan(room.empty() ? 1 : 0), error);
  if (error) {
    if (!room.empty())
      (void)protocol_.direct(0, last_heard_, events_);  // gives the room back
    return false;
  }
  if (count >= room.size())
    room_ = std::min(most_room, 2 * room_);
  else if (count < room.size() / 4)
    room_ = std::max(read_size, room_ / 2);
  return took(room, buffer, count);
}

bool Connection::took(std::span<std::byte> room, std::span<const std::byte> buffer,
                      std::size_t count) {
  last_heard_ = clock_->now();
  bytes_read_ += count;
  if (bytes_read_ == count)
    if (const auto foreign = foreign_protocol(buffer.first(count))) {
      close(*foreign);
      return false;
    }
  events_.clear();
  const auto done = take(room, buffer, count);
  // A copy: a handler may close the connection, which releases the handlers.
  const auto handlers = handlers_;
  handling_ = true;  // what handlers have to say is gathered into one write
  for (Event& event : events_) {
    if (!open_)
      break;
    if (const auto* rate = std::get_if<event::Rate>(&event); rate != nullptr && paced_)
      stream_->pace(rate->rate, std::clamp(protocol_.chunk(), least_write, most_write));
    handlers->on_event(std::move(event));
  }
  handling_ = false;
  if (!open_)
    return false;
  if (!done) {
    protocol_.go_away(done.error().what);
    close_when_flushed(done.error());
    return false;
  }
  flush();
  return open_;
}

core::Result<void> Connection::take(std::span<std::byte> room, std::span<const std::byte> buffer,
                                    std::size_t count) {
  try {
    const std::size_t direct = std::min(count, room.size());
    if (!room.empty())
      if (auto done = protocol_.direct(direct, last_heard_, events_); !done)
        return done;
    return protocol_.receive(buffer.first(count - direct), last_heard_, events_);
  } catch (const std::bad_alloc&) {
    return core::fail(Errc::exhausted, "out of memory for a body that is within the limits",
                      "connection", "lower max_body and max_incoming");
  }
}

bool Connection::write_some(error_code& error) {
  while (open_) {
    if (unwritten_ == 0) {
      if (stream_->full()) {
        error = asio::error::would_block;
        return false;
      }
      frames_.clear();
      buffers_.clear();
      next_buffer_ = 0;
      const std::size_t most = std::clamp(protocol_.chunk(), least_write, most_write);
      OutgoingFrame frame;
      while (unwritten_ < most && frames_.size() < most_frames && protocol_.next(frame)) {
        unwritten_ += frame.head.size() + frame.body.size();
        frames_.push_back(std::move(frame));
        if (!frames_.back().body.empty() && stream_->paced())
          break;
      }
      if (frames_.empty())
        return true;
      for (const OutgoingFrame& f : frames_) {
        buffers_.emplace_back(f.head.data(), f.head.size());
        if (!f.body.empty())
          buffers_.emplace_back(f.body.data(), f.body.size());
      }
    }
    std::size_t count = stream_->write(std::span(buffers_).subspan(next_buffer_), error);
    if (error)
      return false;
    unwritten_ -= count;
    bytes_written_ += count;
    while (count > 0 && count >= buffers_[next_buffer_].size())
      count -= buffers_[next_buffer_++].size();
    if (count > 0)
      buffers_[next_buffer_] += count;
    if (unwritten_ == 0)
      frames_.clear();  // and with them the bodies that are written
  }
  return true;
}

// Errors of writing are told from here and not from flush(), whose callers do not expect the
// connection to go while they speak.
asio::awaitable<void> Connection::write_later() {
  const auto self = shared_from_this();
  error_code error = asio::error::would_block;
  while (open_) {
    if (error == asio::error::would_block)
      co_await stream_->ready(Stream::Wait::write, error);
    if (!open_)
      co_return;
    if (!error && write_some(error))
      break;
    if (error && error != asio::error::would_block) {
      close(lost(*stream_, error));
      co_return;
    }
  }
  writing_ = false;
  if (closing_)
    close(closing_why_);
}

}  // namespace cleave::inline v0::transport
