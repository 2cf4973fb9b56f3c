// The edge's connection to one cloud: comes back by itself, knows the link, says when it is down.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/runtime/breaker.hpp>
#include <cleave/runtime/cloud.hpp>
#include <cleave/transport/link_estimator.hpp>
#include <cleave/transport/tls.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace cleave::inline v0::runtime {

struct CloudLinkOptions {
  std::string host;
  std::uint16_t port = 0;
  core::Seconds connect_timeout = core::Seconds(2);
  transport::ClientSecurity security;  ///< TLS and the token; as for a channel
  /// A ping so often while there is a connection; nothing heard for three of these is a lost one.
  /// Shorter finds a stalled link sooner, and wakes a radio more often.
  core::Seconds heartbeat = core::Seconds(1);
  /// After connecting, and when the cloud is suspected to be gone, it is asked what it serves
  /// (which takes a worker of its own, before all requests that wait). Without an answer in this
  /// time it is not reachable.
  core::Seconds probe_timeout = core::Seconds(1);
  /// While no call is under way, small messages tell how the link is (see
  /// transport::LinkEstimator): one after half a second of quiet, then less and less often. Where
  /// the last that was heard of the cloud's queue is that there is one, an empty message four times
  /// a second tells how long it is (transport::QueueEstimator).
  bool probe_idle = true;
  transport::LinkEstimatorOptions estimator;
  /// Calls in a row that are late, refused or answered with nonsense before the cloud is left alone
  /// for a while.
  int failures = 3;
  /// Between attempts to come back, see Backoff.
  core::Seconds first_backoff = core::milliseconds(50);
  core::Seconds last_backoff = core::Seconds(5);
  std::uint64_t seed = 0;                    ///< of that randomness; 0: from the system
  std::shared_ptr<const core::Clock> clock;  ///< a SteadyClock if null
  core::LogSink* log = &core::null_log();    ///< must outlive the link
};

struct CloudLinkState {
  Breaker::State breaker = Breaker::State::open;
  std::uint64_t opened = 0;        ///< times that the breaker opened since the start
  std::optional<core::Error> why;  ///< what the last attempt to come back failed with
};

/// Owns one I/O thread and one thread that reconnects. Thread-safe.
///
/// A breaker decides whether calls are made. It opens
///   - when the connection breaks or falls silent (see heartbeat): calls under way then fail with
///     Errc::unavailable at once, whatever they could still wait;
///   - when a call was waited for in vain (timed out or cancelled) while nothing else was heard of
///     the cloud either: a stalled link. The cloud is then probed over the same connection at once,
///     and the connection given up if that fails;
///   - after CloudLinkOptions::failures calls in a row that were late, refused or made no sense.
/// While it is open, call() and start() fail at once. It closes when a probe is answered: a
/// connection and the question what the cloud serves.
class CLEAVE_EXPORT CloudLink final : public Cloud {
 public:
  explicit CloudLink(CloudLinkOptions options);
  /// Calls under way fail with Errc::cancelled or unavailable. From another thread than a
  /// callback's it returns when all callbacks have been called, and nothing is logged afterwards.
  ~CloudLink() override;

  exec::RemoteStart start(exec::RemoteCall call, Done done) override;
  [[nodiscard]] bool available(const exec::RemoteChoice& choice) const override;
  void distrust(unsigned endpoint) override;

  [[nodiscard]] bool reachable() const override;
  [[nodiscard]] std::optional<table::LinkState> estimate() const override;
  /// The estimate with its age and how far to trust it, as of now.
  [[nodiscard]] std::optional<transport::LinkEstimate> link() const;
  /// See transport::QueueEstimator.
  [[nodiscard]] core::Seconds queue() const override;
  [[nodiscard]] bool serves(core::Fingerprint model) const override;
  [[nodiscard]] core::Result<void> require(core::Fingerprint model) override;
  [[nodiscard]] std::string where() const override;

  /// Waits until the cloud is reachable. If it is not in time, the error of the last attempt, or
  /// Errc::unavailable; at once Errc::permission_denied where waiting will not help.
  [[nodiscard]] core::Result<void> wait_connected(core::Seconds timeout);
  /// What the cloud serves.
  [[nodiscard]] core::Result<exec::HostDescription> describe();
  [[nodiscard]] CloudLinkState state() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::runtime
