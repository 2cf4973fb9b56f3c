// How much of what is sent may be on its way in the kernel and in the network.
#pragma once

#include "lib/transport/asio.hpp"

#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::transport {

// TCP sends until packets are lost, and so fills whatever buffer the narrowest place of the path
// has, where nothing overtakes: a tenth of a second and more on many links. Round trips that grow
// over the shortest one seen, with as many bytes under way, show such a queue (acknowledgements
// that are only late do not); the rate at which bytes then arrive at the peer is the link's, and
// what the path holds at that rate keeps the narrowest place busy. Beyond that and a few
// milliseconds of slack, bytes wait here, where an urgent one goes first. Where there is no queue
// the window grows until it is none: a low rate may then be its own doing, or a slow sender's. In
// the I/O thread's section.
class SendWindow {
 public:
  // Tunes the socket, which must outlive this: packets go at once, and `unsent_low_water` bytes
  // (0: as many as the kernel likes, and there is no window) are kept unsent by the kernel.
  SendWindow(tcp::socket& socket, std::uint32_t unsent_low_water);

  // As the kernel sees it.
  struct Path {
    core::Seconds round_trip, shortest;  // lately; and of all
    std::size_t under_way = 0;           // bytes sent and not acknowledged
  };
  // The rate at which bytes arrive at the peer, and what is written at a time.
  void pace(core::BytesPerSecond rate, std::size_t chunk);
  void pace(core::BytesPerSecond rate, const Path& path);
  [[nodiscard]] bool active() const { return window_ > 0; }
  // Nothing is to be written now.
  [[nodiscard]] bool full() const {
    return window_ > 0 && static_cast<double>(on_the_way()) >= window_;
  }
  // Until something may be written, or cancel().
  asio::awaitable<void> ready(error_code& error);
  void cancel() { timer_.cancel(); }

 private:
  // Bytes written that the peer's kernel has not acknowledged.
  [[nodiscard]] std::size_t on_the_way() const;

  tcp::socket& socket_;
  const bool limited_;
  asio::steady_timer timer_;
  double rate_ = 0;    // bytes a second, lately
  double window_ = 0;  // bytes; 0: no limit
};

}  // namespace cleave::inline v0::transport
