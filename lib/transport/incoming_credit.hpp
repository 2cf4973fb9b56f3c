// What the peer may send of bodies, and what of it is used up.
#pragma once

#include <cleave/transport/limits.hpp>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace cleave::inline v0::transport {

// Not thread-safe.
class IncomingCredit {
 public:
  explicit IncomingCredit(const Limits& limits)
      : first_(limits.first_credit),
        most_(limits.max_incoming),
        keep_(limits.max_incoming),
        outstanding_(limits.first_credit) {}

  // The peer begins a body. False: it has no credit for it.
  [[nodiscard]] bool charge(std::uint64_t bound) {
    if (bound > outstanding_)
      return false;
    outstanding_ -= bound;
    held_ += bound;
    return true;
  }
  // Bytes that were charged are free again, and granted anew as far as they are to be kept. The
  // peer need not hear of a little at once.
  void give(std::uint64_t bytes) {
    held_ -= bytes;
    const std::uint64_t now = budget();
    grant(std::min(bytes, keep_ > now ? keep_ - now : 0));
  }
  void grant(std::uint64_t bytes) {
    outstanding_ += bytes;
    untold_ += bytes;
  }
  // False: more than the peer has.
  [[nodiscard]] bool take_back(std::uint64_t bytes) {
    if (bytes > outstanding_ - untold_)
      return false;
    outstanding_ -= bytes;
    wanted_ = 0;
    return true;
  }
  // True: the peer has more than that, and is to be asked for it.
  [[nodiscard]] bool keep_at_most(std::uint64_t bytes) {
    keep_ = std::min(bytes, most_);
    if (budget() > keep_) {
      const std::uint64_t own = std::min(untold_, budget() - keep_);
      untold_ -= own;
      outstanding_ -= own;
    }
    return budget() > keep_ && outstanding_ > first_;
  }

  // The peer asks for more. What is to be found for it beside what it has not heard of.
  [[nodiscard]] std::uint64_t want(std::uint64_t bytes) {
    wanted_ += std::min(bytes, most_);
    return bytes - std::min(bytes, untold_);
  }

  // What the peer has not heard of: to be told now if it is much or waited for, else when the peer
  // is told something anyway.
  [[nodiscard]] bool due() const { return untold_ > 0 && (wanted_ > 0 || untold_ >= first_ / 4); }
  [[nodiscard]] std::uint64_t untold() const { return untold_; }
  std::uint64_t take_untold() {
    wanted_ -= std::min(wanted_, untold_);
    return std::exchange(untold_, 0);
  }

  [[nodiscard]] std::uint64_t outstanding() const { return outstanding_; }
  [[nodiscard]] std::uint64_t budget() const { return outstanding_ + held_; }

 private:
  const std::uint64_t first_, most_;
  std::uint64_t keep_;         // what is let go of is granted anew up to so much in all
  std::uint64_t outstanding_;  // what the peer has, or is to be told of
  std::uint64_t untold_ = 0;   // of that
  std::uint64_t wanted_ = 0;   // what the peer waits for
  std::uint64_t held_ = 0;     // bounds of bodies that are not let go of
};

}  // namespace cleave::inline v0::transport
