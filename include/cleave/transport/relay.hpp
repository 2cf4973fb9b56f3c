// A slow link in user space: forwards TCP connections at a given rate, delay and jitter.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>

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

struct RelayOptions {
  std::string listen_address = "127.0.0.1";  ///< numeric
  std::uint16_t listen_port = 0;             ///< 0: any free one
  std::string target_host = "127.0.0.1";
  std::uint16_t target_port = 0;
  core::BytesPerSecond up = unlimited_rate;    ///< from who connects to the target
  core::BytesPerSecond down = unlimited_rate;  ///< back
  core::Seconds delay;                         ///< one way; a round trip takes two
  core::Seconds jitter;                        ///< random additional delay, up to this
  std::uint64_t seed = 1;
  /// How much, in time at the rate, may wait in the relay to leave before the sender is held back.
  /// The kernel's receive buffer adds about as much again, at least 64 KiB.
  core::Seconds queue = core::Seconds(0.01);
  core::LogSink* log = &core::null_log();  ///< must outlive the relay
};

/// All connections through a relay share the link's rate, as they would share a cable. Thread-safe;
/// owns one thread, "cleave-relay".
class CLEAVE_EXPORT Relay {
 public:
  /// Errc::in_use: the port is taken; permission_denied: not allowed to listen there;
  /// invalid_argument: no such address, a rate that is not above 0, or a negative time. The target
  /// need not be there yet; a connection is closed at once when the target does not take it.
  static core::Result<std::unique_ptr<Relay>> start(RelayOptions options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// From now on; bytes under way are not touched. Errc::invalid_argument as start().
  core::Result<void> set_link(core::BytesPerSecond up, core::BytesPerSecond down,
                              core::Seconds delay, core::Seconds jitter);
  /// During an outage nothing moves, and connections stay open: the link stalls.
  void set_outage(bool on);
  /// Resets all connections (a TCP RST to both ends); bytes under way are lost.
  void kill_connections();
  /// Connections open now.
  [[nodiscard]] std::size_t connections() const;

 private:
  struct Impl;
  explicit Relay(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
