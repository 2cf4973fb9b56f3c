// The edge's connection to the cloud: comes back by itself, knows the link, says when it is down.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/table/predictor.hpp>
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
  /// Between attempts to connect: doubles from the first to the last, each time shortened by up to
  /// half at random so that many edges do not come back in step.
  core::Seconds first_backoff = core::milliseconds(50);
  core::Seconds last_backoff = core::Seconds(5);
  std::uint64_t seed = 0;                    ///< of that randomness; 0: from the system
  std::shared_ptr<const core::Clock> clock;  ///< a SteadyClock if null
  core::LogSink* log = &core::null_log();
};

/// Owns one I/O thread and one thread that reconnects. Thread-safe. While the cloud is not
/// reachable call() fails at once, so a request loses no time to a cloud that is known to be down.
class CLEAVE_EXPORT CloudLink final : public exec::Remote {
 public:
  explicit CloudLink(CloudLinkOptions options);
  /// Calls under way fail with Errc::cancelled or unavailable.
  ~CloudLink() override;

  [[nodiscard]] core::Result<exec::RemoteReply> call(exec::RemoteCall call) override;

  /// Waits for a connection. Errc::unavailable (with the reason of the last attempt) if there is
  /// none in time.
  [[nodiscard]] core::Result<void> wait_connected(core::Seconds timeout);
  [[nodiscard]] bool reachable() const;
  /// Nothing until enough was seen of the link.
  [[nodiscard]] std::optional<table::LinkState> estimate() const;
  /// What a request waited in the cloud lately, forgotten over a second.
  [[nodiscard]] core::Seconds queue() const;
  /// What the cloud serves.
  [[nodiscard]] core::Result<exec::HostDescription> describe();
  /// Errc::mismatch or not_found unless the cloud serves exactly this model.
  [[nodiscard]] core::Result<void> check_serves(core::Fingerprint model);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::runtime
