// When bytes leave a link and when they arrive: rate, delay and jitter, without I/O and clock.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

namespace cleave::inline v0::transport {

inline constexpr core::BytesPerSecond unlimited_rate{std::numeric_limits<double>::infinity()};

/// When bytes leave one direction of a link and when they arrive. Bytes leave one after another at
/// `rate`; each quantum arrives `delay` plus a random part of `jitter` (uniform) after it has left,
/// never before the one ahead of it:
///
///     departs = max(now, previous departs) + bytes / rate
///     arrives = max(previous arrives, departs + delay + uniform(0, jitter))
///
/// Not thread-safe. No clock: times are given.
class CLEAVE_EXPORT LinkModel {
 public:
  struct Times {
    core::Seconds departs, arrives;
  };
  LinkModel(core::BytesPerSecond rate, core::Seconds delay, core::Seconds jitter,
            std::uint64_t seed);
  Times send(std::size_t bytes, core::Seconds now);
  /// What is sent from now on travels like this; what is under way is not touched.
  void set(core::BytesPerSecond rate, core::Seconds delay, core::Seconds jitter);
  /// How long a byte that came now would wait before it starts to leave.
  [[nodiscard]] core::Seconds backlog(core::Seconds now) const;
  /// Bytes worth forwarding at a time: what leaves in half a millisecond, from one Ethernet frame's
  /// 1448 to 64 KiB.
  [[nodiscard]] std::size_t quantum() const;

 private:
  core::BytesPerSecond rate_;
  core::Seconds delay_, jitter_;
  core::Seconds departed_, arrived_;
  std::mt19937_64 random_;
};

/// A clock that can be stopped, for a link on which nothing moves for a while: what is timed by it
/// is late by just the time that it stood. Not thread-safe; `now` must not decrease.
class LinkClock {
 public:
  /// Stops or goes on at `now`; telling it what it does already changes nothing.
  void set_stopped(bool stopped, core::Seconds now) {
    if (stopped == stopped_)
      return;
    if (stopped)
      since_ = now;
    else
      stood_ += now - since_;
    stopped_ = stopped;
  }
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// `now` less all the time that it has stood.
  [[nodiscard]] core::Seconds at(core::Seconds now) const {
    return (stopped_ ? since_ : now) - stood_;
  }

 private:
  core::Seconds stood_, since_;
  bool stopped_ = false;
};

}  // namespace cleave::inline v0::transport
