// Bounds that each peer sets for itself and tells the other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::transport {

/// Memory of a connection is at most
///
///     max_incoming + max_outgoing + max_frame + 512 KiB + 4 KiB * (1024 + max_in_flight)
///
/// bytes: bodies on their way in, counted at their announced size from the first frame until they
/// are handed over; bodies on their way out until their last frame is taken to be written; a frame
/// that is not whole yet; the read buffer and the frames being written (256 KiB each); and answers
/// without a body (errors, pongs) that the peer does not read. Bodies handed over to a handler or
/// waiting for a worker are at most max_in_flight * max_body more.
struct Limits {
  std::uint64_t max_body = std::uint64_t{256} << 20;      ///< bytes of one request or reply
  std::uint64_t max_incoming = std::uint64_t{512} << 20;  ///< bytes of all bodies coming in
  std::uint64_t max_outgoing = std::uint64_t{512} << 20;  ///< bytes of all bodies going out
  std::uint32_t max_frame = 1U << 20;  ///< bytes of one frame's payload that are accepted
  std::uint32_t max_in_flight = 256;   ///< requests of the peer not yet answered
  /// Bytes of a body that go out in one frame: what a more urgent request waits for.
  std::uint32_t chunk = 64U << 10;
};

}  // namespace cleave::inline v0::transport
