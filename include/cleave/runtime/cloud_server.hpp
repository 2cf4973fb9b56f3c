// The cloud's side as an application embeds it: serves the tails of models.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/model_store.hpp>
#include <cleave/transport/peer_limits.hpp>
#include <cleave/transport/tls.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::runtime {

struct CloudServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 7070;  ///< 0: any free one
  /// Threads that run tails. With one, a thread knob has the processor to itself.
  int workers = 1;
  std::size_t max_queued = 64;         ///< requests waiting for a worker; more are refused
  transport::ServerSecurity security;  ///< TLS and tokens; as for a transport::Server
  transport::PeerLimits peers;         ///< likewise
  /// Knobs that requests may set; may be null.
  std::shared_ptr<device::Arbiter> knobs;
  core::LogSink* log = &core::null_log();
};

/// What a service of the application's own does with a message. Runs on a worker thread; several at
/// once if there are several workers.
using ServiceHandler =
    std::function<core::Result<std::vector<std::byte>>(std::span<const std::byte> message)>;

/// Registers inference and link measurement, and whatever the application adds, on one port.
/// Thread-safe.
class CLEAVE_EXPORT CloudServer {
 public:
  /// Errc::in_use: the port is taken; permission_denied: not allowed to listen there;
  /// invalid_argument: no such address; and what transport::Server::listen() says of
  /// options.security.
  static core::Result<std::unique_ptr<CloudServer>> start(
      CloudServerOptions options, std::shared_ptr<exec::ModelStore> models,
      std::vector<std::tuple<std::string, std::string, ServiceHandler>> services = {});
  /// stop().
  ~CloudServer();
  CloudServer(const CloudServer&) = delete;
  CloudServer& operator=(const CloudServer&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  /// Accepts nothing new, lets the requests under way finish, then closes.
  void stop();

 private:
  struct Impl;
  explicit CloudServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::runtime
