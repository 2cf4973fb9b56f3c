// Faults at the N-th operation on this process's sockets: the test program has functions of its own
// in the place of the C library's recv, recvmsg, send and sendmsg, through which all of cleave's
// sockets go.
#pragma once

#include <cstdint>

namespace cleave::tests {

enum class Fault {
  none,
  broken,     ///< ECONNRESET, and the far side sees the end
  stalled,    ///< from then on nothing moves on this socket, and it stays open
  shortened,  ///< one byte is read or written: legal
  corrupted,  ///< a bit of what is read or written is flipped
};

/// Arms the fault for the n-th operation from now, 1 the first; counts anew.
void fault_at(std::uint64_t n, Fault fault);
/// Operations since then. Waiting for a socket is none.
std::uint64_t operations();

}  // namespace cleave::tests
