// The bytes under a connection: a TCP socket, TLS on one, or what a test puts in their place.
#pragma once

#include "lib/transport/asio.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace cleave::inline v0::transport {

// Used in the I/O thread's section (section.hpp). Reading and writing never block and never
// suspend; who finds nothing to do waits with ready(). One read and one write may wait at a time.
class Stream {
 public:
  enum class Wait { read, write };

  virtual ~Stream() = default;
  // What comes before the first byte of the protocol, TLS's handshake say.
  virtual asio::awaitable<void> handshake(error_code& error) = 0;
  // At least one byte, or an error: would_block (nothing there now), eof (the peer has closed), or
  // what broke the stream.
  virtual std::size_t read(std::span<const asio::mutable_buffer> into, error_code& error) = 0;
  // Waits until there is something and reads that; `into` must stay until then.
  virtual asio::awaitable<std::size_t> read_later(asio::mutable_buffer into, error_code& error) {
    std::size_t count = 0;
    do {
      co_await ready(Wait::read, error);
      if (!error)
        count = read(std::span(&into, 1), error);
    } while (error == asio::error::would_block);
    co_return count;
  }
  // Some of the bytes, in order; at least one, or an error: would_block or what broke the stream.
  virtual std::size_t write(std::span<const asio::const_buffer> from, error_code& error) = 0;
  // Until read() or write() may get further, or the stream is closed (operation_aborted).
  virtual asio::awaitable<void> ready(Wait what, error_code& error) = 0;
  // What the link carries, and how much is written at a time: more than it takes to keep the link
  // busy need not be in the kernel or in the network, where nothing overtakes it. A hint.
  virtual void pace(core::BytesPerSecond /*rate*/, std::size_t /*chunk*/) {}
  // What comes behind what is written next has to wait: it is best written by itself.
  [[nodiscard]] virtual bool paced() const { return false; }
  // write() would find that enough is on its way. Who knows that before it decides what to write
  // can still change its mind.
  [[nodiscard]] virtual bool full() const { return false; }
  // At once, without lingering over what is unsent; ends every wait.
  virtual void close() = 0;
  [[nodiscard]] virtual asio::any_io_executor executor() = 0;
  // What broke it, where the stream knows more than an error code tells; null otherwise.
  [[nodiscard]] virtual const core::Error* failure() const { return nullptr; }
  // "address:port" of the far side.
  [[nodiscard]] virtual std::string peer() const = 0;
};

// `unsent_low_water` bytes are kept unsent in the kernel until pace() knows better; 0:
// as the kernel likes, now and later.
std::unique_ptr<Stream> make_tcp_stream(tcp::socket socket, std::uint32_t unsent_low_water);

}  // namespace cleave::inline v0::transport
