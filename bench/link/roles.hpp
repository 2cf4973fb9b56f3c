// What the child processes do: one serves a peer, one sends as it is told.
#pragma once

#include "bench/link/peer.hpp"

#include <vector>

namespace bench_link {

/// Says its port, then serves until standard input ends, and answers each line of it with the
/// seconds of processor time that it has used. Returns the exit code.
int run_server(const Peer& peer, const std::string& address);
/// Connects, then answers a line of standard input with one line each:
///   send BYTES IN_FLIGHT COUNT CALL    seconds, and those of processor time
///   round BYTES COUNT                  the median in seconds
///   wait LARGE SMALL COUNT             p50 and p95 in seconds
int run_client(const Peer& peer, const Place& server);

}  // namespace bench_link
