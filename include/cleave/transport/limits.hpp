// Bounds that each peer sets for itself and tells the other.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::transport {

/// Memory of a connection is at most
///
///     max_incoming + max_outgoing + 2 * max_frame + 512 KiB + 4 KiB * (1024 + max_in_flight)
///
/// bytes: bodies coming in, counted at their announced bound from the first frame until their
/// handler has answered or their caller has the reply; bodies going out until their last frame has
/// been taken to be written; what is being read and written; and answers without a body (errors,
/// pongs) that the peer does not read.
struct Limits {
  std::uint64_t max_body = std::uint64_t{256} << 20;  ///< bytes of one request or reply
  /// Bytes of all bodies coming in: what is granted to the peer at most. max_body is no larger.
  std::uint64_t max_incoming = std::uint64_t{512} << 20;
  std::uint64_t max_outgoing = std::uint64_t{512} << 20;  ///< bytes of all bodies going out
  /// What a peer may send before it is granted more, which takes a round trip.
  std::uint64_t first_credit = std::uint64_t{1} << 20;
  std::uint32_t max_frame = 1U << 20;  ///< bytes of one frame without its header, that are accepted
  std::uint32_t max_in_flight = 256;   ///< requests of the peer not yet answered
  /// Bytes of a body that go out in one frame, until the link's rate is known. Then it is what the
  /// link carries in chunk_time, from 4 KiB to the peer's max_frame.
  std::uint32_t chunk = 64U << 10;
  double chunk_time = 0.004;  ///< seconds; 0: chunks stay as they are
};

}  // namespace cleave::inline v0::transport
