// A slow and faulty link in user space: forwards TCP connections at a given rate, delay and jitter,
// or as a trace tells, and spoils them as asked.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/link_faults.hpp>
#include <cleave/transport/link_model.hpp>
#include <cleave/transport/link_trace.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace cleave::inline v0::transport {

struct RelayOptions {
  std::string listen_address = "127.0.0.1";  ///< numeric
  std::uint16_t listen_port = 0;             ///< 0: any free one
  std::string target_host = "127.0.0.1";
  std::uint16_t target_port = 0;
  core::BytesPerSecond up = unlimited_rate;    ///< from who connects to the target
  core::BytesPerSecond down = unlimited_rate;  ///< back
  core::Seconds delay;                         ///< one way; a round trip takes two
  core::Seconds jitter;                        ///< random additional delay, up to this
  /// Instead of rates, delay and jitter: how they change from the relay's start on.
  std::optional<LinkTrace> trace;
  bool repeat_trace = false;  ///< from its beginning when it has ended; else its last row holds
  LinkFaults faults;
  /// Of jitter and faults. Which bytes, connections and times are hit depends on it, the faults and
  /// the order in which connections come; jitter also on when bytes come.
  std::uint64_t seed = 1;
  /// How much, in time at the rate, may wait in the relay to leave before the sender is held back.
  /// The kernel's receive buffer adds about as much again, at least 64 KiB.
  core::Seconds queue = core::Seconds(0.01);
  std::shared_ptr<const core::Clock> clock;  ///< of link, trace and faults; a SteadyClock if null
  core::LogSink* log = &core::null_log();    ///< must outlive the relay
};

/// What a relay has done since its start.
struct RelayCounts {
  std::uint64_t connections = 0;               ///< accepted
  std::uint64_t refused = 0;                   ///< of these reset at once, because of an outage
  std::uint64_t cut = 0;                       ///< reset after their number of bytes
  std::uint64_t stalls = 0, outages = 0;       ///< times that the link stopped and that it went out
  std::uint64_t bytes_up = 0, bytes_down = 0;  ///< that entered the link
  std::uint64_t flipped_up = 0, flipped_down = 0;    ///< bits
  std::uint64_t vanished_up = 0, vanished_down = 0;  ///< bytes of half-open connections
};

/// All connections through a relay share the link's rate, as they would share a cable. Thread-safe;
/// owns one thread, "cleave-relay".
///
/// Bytes are spoiled when they enter the link. While the link is stalled, the time by which bytes
/// under way arrive stands still. In an outage a new connection is accepted by the kernel and reset
/// at once: its first read or write fails.
class CLEAVE_EXPORT Relay {
 public:
  /// Errc::in_use: the port is taken; permission_denied: not allowed to listen there;
  /// invalid_argument: no such address, a rate that is not above 0, a negative time, or faults that
  /// check_faults() refuses. The target need not be there yet; a connection is closed at once when
  /// the target does not take it.
  static core::Result<std::unique_ptr<Relay>> start(RelayOptions options);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// From now on, in place of a trace, if there is one; bytes under way are not touched.
  /// Errc::invalid_argument as start().
  core::Result<void> set_link(core::BytesPerSecond up, core::BytesPerSecond down,
                              core::Seconds delay, core::Seconds jitter);
  /// Follows this trace, which begins now.
  void set_trace(LinkTrace trace, bool repeat);
  /// These in place of those before, from now on, on open connections too. Connections that are
  /// half-open stay so. Errc::invalid_argument as check_faults().
  core::Result<void> set_faults(const LinkFaults& faults);
  /// At least this bad until told otherwise, whatever the faults say.
  void set_state(LinkState state);
  /// Makes the connections open now half-open: what enters them from now on in this direction
  /// vanishes, FIN and RST too.
  void lose(LinkDirection direction);
  /// Resets all connections (a TCP RST to both ends); bytes under way are lost.
  void kill_connections();
  /// Connections open now.
  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] RelayCounts counts() const;
  /// Looks at the clock now. Only an injected clock that was moved needs it.
  void check_time();

 private:
  struct Impl;
  explicit Relay(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
