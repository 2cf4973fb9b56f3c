// One run: every peer in turn, in an order that changes, and the samples that come of it.
#pragma once

#include "bench/link/peer.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace bench_link {

struct Options {
  std::vector<std::string> what{"goodput", "round", "tls"};  ///< and "wait"
  std::vector<std::string> peers;                            ///< empty: all
  std::vector<std::size_t> sizes{4U << 10,   16U << 10, 64U << 10, 256U << 10,
                                 512U << 10, 1U << 20,  4U << 20,  16U << 20};
  std::vector<std::size_t> in_flight{1, 8};
  /// Of the raw sockets, rising.
  std::vector<std::size_t> calls{64U << 10, 128U << 10, 256U << 10, 512U << 10, 1U << 20};
  std::size_t alternations = 21;
  double seconds = 0.05;  ///< one measurement takes about so long
  std::size_t round_trips = 1000;
  double rate = 0;  ///< of a shaped link, in bits a second as its shaper counts; 0: none
  std::string csv;  ///< a file for every sample
  std::string address = "127.0.0.1";
  std::vector<std::string> server_prefix, client_prefix;  ///< "ip netns exec NAME"
  std::uint64_t seed = 1;                                 ///< of the order
};

/// What was measured: "goodput" in bytes a second, "send cpu" and "receive cpu" in seconds of
/// processor time a byte of tensor, "round", "wait p50" or "wait p95" in seconds.
struct Key {
  std::string what, peer;
  std::size_t bytes = 0, in_flight = 1, call = 0;
  auto operator<=>(const Key&) const = default;
};

/// A sample for each alternation.
using Samples = std::map<Key, std::vector<double>>;

/// Throws when a peer fails: a comparison without it would say something else.
Samples compare(const std::vector<Peer>& peers, const Options& options);

}  // namespace bench_link
