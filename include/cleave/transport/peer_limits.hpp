// How much of a server one peer may take, and how slow it may be.
#pragma once

#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::transport {

/// Addresses are counted, not ports; of IPv6 the first 64 bits, which is what one site is given.
/// A *handshake* is a connection that is not done with TLS, its token and HELLO.
struct PeerLimits {
  std::size_t max_connections_per_address = 64;  ///< more are refused
  /// All handshakes under way. For one more the oldest of the address with the most is dropped, so
  /// who holds many open without a word makes room for who has something to say.
  std::size_t max_handshakes = 128;
  std::size_t max_handshakes_per_address = 32;  ///< likewise, among those of one address
  /// Handshakes that failed (certificate, token, no TLS, no hello) before an address is no longer
  /// listened to; one is forgiven each `failure_memory`. 0: no bound.
  std::size_t max_failures_per_address = 10;
  core::Seconds failure_memory = core::Seconds(6);
  /// Before a peer is told that it is not authorised.
  core::Seconds refusal_delay = core::Seconds(1);
  /// A connection on which nothing came for so long is closed; pings count. 0: never.
  core::Seconds idle_timeout = core::Seconds(60);
  /// A peer that has begun a frame or a body, or has bytes of ours to read, and moves less than
  /// `progress_bytes` in each direction concerned within `progress_time` is dropped. 0: never.
  core::Seconds progress_time = core::Seconds(20);
  std::uint64_t progress_bytes = 1024;
};

}  // namespace cleave::inline v0::transport
