// What goes wrong on an emulated link and when, seeded: stalls, outages, cuts, half-open
// connections, flipped bits. Without I/O and clock.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace cleave::inline v0::transport {

/// up: from who connects (the edge) to the target (the cloud).
enum class LinkDirection : std::uint8_t { up, down };

/// Of two, the greater is the worse.
enum class LinkState : std::uint8_t {
  moving,
  stalled,  ///< nothing moves; connections stay open and lose nothing
  out,      ///< connections are reset, and new ones at once
};

/// A random pattern: after each event an exponentially distributed time of mean 1 / `per_second`
/// passes until the next begins, and each lasts an exponentially distributed time of mean `mean`
/// (an alternating renewal process: the share of time in events is mean / (mean + 1 / per_second)).
struct RandomEvents {
  double per_second = 0;  ///< 0: none; at most 1000
  core::Seconds mean;     ///< above 0 where there are events
};

struct ScheduledEvent {
  core::Seconds at;  ///< counted from when the faults were set
  core::Seconds lasts;
};

/// All counted from when they were set: with the relay's start or with Relay::set_faults().
struct LinkFaults {
  RandomEvents stalls, outages;
  std::vector<ScheduledEvent> scheduled_stalls, scheduled_outages;
  /// The probability that a connection becomes half-open: from a moment on, which comes an
  /// exponentially distributed time of mean `half_open_after` after it was opened, the bytes of one
  /// direction vanish, and so do its FIN and RST. Either direction is as likely.
  double half_open = 0;
  core::Seconds half_open_after = core::Seconds(1);
  /// The probability that one bit of a byte (each as likely) is flipped, for each byte by itself.
  double corruption_up = 0, corruption_down = 0;
  /// A connection is reset after an exponentially distributed number of bytes of this mean, both
  /// directions together. 0: never.
  core::Bytes cut_after;
};

/// Errc::invalid_argument: a probability outside 0..1, a time or number that is negative or not
/// finite, more than 1000 events a second, or events that last 0 s.
CLEAVE_EXPORT core::Result<void> check_faults(const LinkFaults& faults);

/// The stalls and outages of a link over time. The same faults and seed give the same timeline, how
/// often ever one looks. Not thread-safe.
class CLEAVE_EXPORT FaultTimeline {
 public:
  /// The faults must have passed check_faults().
  FaultTimeline(const LinkFaults& faults, std::uint64_t seed);
  /// How the link is `now` seconds after the faults were set. `now` must not decrease.
  LinkState state(core::Seconds now);
  /// When the state may change next, after the latest `now`; infinite if never.
  [[nodiscard]] core::Seconds next_change() const { return next_change_; }

 private:
  struct Events {
    RandomEvents random;
    std::vector<ScheduledEvent> scheduled;
    std::mt19937_64 source;
    double from = 0, until = 0;  // the event that has begun last or comes next
    bool at(double now, double& next_change);
  };
  Events stalls_, outages_;
  core::Seconds next_change_;
};

/// What happens to the bytes of one connection. How the stream is divided into calls makes no
/// difference to which of its bytes are hit. Not thread-safe.
class CLEAVE_EXPORT ConnectionFaults {
 public:
  struct Fate {
    std::size_t forwarded = 0;  ///< the first so many of the bytes go on
    std::size_t flipped = 0;    ///< bits among them that were flipped
    bool cut = false;           ///< the connection is reset behind them
  };

  /// `number` tells the connections of a link apart: each has random numbers of its own.
  ConnectionFaults(const LinkFaults& faults, std::uint64_t seed, std::uint64_t number,
                   core::Seconds now);
  /// Other faults from now on. A direction that lost its bytes already goes on losing them.
  void set(const LinkFaults& faults, core::Seconds now);
  /// From now on the bytes of this direction vanish.
  void lose(LinkDirection direction);
  /// Whether what enters the link now in this direction vanishes.
  [[nodiscard]] bool loses(LinkDirection direction, core::Seconds now) const;
  /// Decides on bytes that enter the link now, and flips bits in them.
  Fate take(LinkDirection direction, std::span<std::byte> bytes, core::Seconds now);

 private:
  struct Way {
    double corruption = 0;
    std::mt19937_64 source;
    double clean = 0;  // bytes until the next one that is hit
    core::Seconds lost_from{std::numeric_limits<double>::infinity()};
    void draw();
  };
  Way& way(LinkDirection direction) { return ways_[static_cast<std::size_t>(direction)]; }
  [[nodiscard]] const Way& way(LinkDirection direction) const {
    return ways_[static_cast<std::size_t>(direction)];
  }
  std::mt19937_64 source_;
  std::array<Way, 2> ways_;
  double left_ = 0;  // bytes until the cut
};

}  // namespace cleave::inline v0::transport
