// The memory for bodies coming in, shared by the connections of a server.
#pragma once

#include <cleave/transport/protocol.hpp>

#include <cstdint>
#include <deque>
#include <functional>
#include <unordered_map>

namespace cleave::inline v0::transport {

// Whoever wants more gets it in the order of asking, as far as there is some. While somebody waits,
// all but the first in turn are held to their first credit: what they let go of goes to who waits,
// and they are asked for what they cannot use at once, so that nobody waits with what another waits
// for. Not thread-safe; no I/O.
class CreditPool {
 public:
  // `total` bytes in all, `most` for a connection. `touched` is told of every connection whose
  // protocol has something to say afterwards.
  CreditPool(std::uint64_t total, std::uint64_t most, std::uint64_t first,
             std::function<void(Protocol&)> touched);

  void join(Protocol& member);
  void leave(Protocol& member);
  // An event::Wanted.
  void want(Protocol& member, std::uint64_t bytes);
  // An event::Returned.
  void returned(Protocol& member);
  // The member's incoming_budget() may have changed by itself.
  void changed(Protocol& member);

  // Bytes that peers may send, or have sent and that are not let go of.
  [[nodiscard]] std::uint64_t used() const { return used_; }
  [[nodiscard]] bool scarce() const { return !waiting_.empty(); }

 private:
  struct Member {
    std::uint64_t budget = 0, wanted = 0;
    std::uint64_t keep = 0;   // what it was told last
    std::uint64_t asked = 0;  // its budget when it was last asked for what it has
  };
  void refresh(Protocol& protocol, Member& member);
  void serve();
  void hold(Protocol& protocol, Member& member, std::uint64_t keep);

  const std::uint64_t total_, most_, first_;
  const std::function<void(Protocol&)> touched_;
  std::unordered_map<Protocol*, Member> members_;
  std::deque<Protocol*> waiting_;
  std::uint64_t used_ = 0;
};

}  // namespace cleave::inline v0::transport
