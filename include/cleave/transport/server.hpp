// Listens, and answers calls by a registry of services.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/io_context.hpp>
#include <cleave/transport/limits.hpp>
#include <cleave/transport/peer_limits.hpp>
#include <cleave/transport/service.hpp>
#include <cleave/transport/tls.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

struct ServerOptions {
  std::string address = "127.0.0.1";  ///< numeric
  std::uint16_t port = 0;             ///< 0: any free one
  int workers = 1;                    ///< threads that run handlers, "cleave-work-N"
  std::size_t max_queued = 64;        ///< requests waiting for a worker; more are refused
  std::size_t max_connections = 256;  ///< more are refused
  core::Seconds handshake_timeout = core::Seconds(10);  ///< for a peer's first words
  core::Seconds drain_timeout = core::Seconds(5);       ///< how long stop() waits for slow readers
  std::uint32_t unsent_low_water = 128U << 10;          ///< as ChannelOptions'
  Limits limits;                                        ///< of each connection
  /// Bytes of all bodies coming in, on all connections, until they are answered. A connection has
  /// first_credit of it, and more as long as there is some.
  std::uint64_t max_memory = std::uint64_t{2} << 30;
  PeerLimits peers;                          ///< of each address, and of slow peers
  ServerSecurity security;                   ///< TLS and tokens
  std::shared_ptr<IoContext> io;             ///< one of the server's own if null
  std::shared_ptr<const core::Clock> clock;  ///< for deadlines and times; a SteadyClock if null
  core::LogSink* log = &core::null_log();    ///< must outlive the server
  core::MetricsSink* metrics = &core::null_metrics();  ///< likewise
};

struct ServerLoad {
  std::size_t connections = 0;
  std::size_t queued = 0;       ///< waiting for a worker
  std::size_t running = 0;      ///< with a worker now
  core::Seconds expected_wait;  ///< for a request of the lowest priority that came now
  std::uint64_t served = 0;     ///< by workers, since the start
  std::uint64_t expired = 0;    ///< dropped because their time had passed, or cancelled
  std::uint64_t refused = 0;    ///< over max_queued or max_connections
};

/// Thread-safe. Memory for bodies coming in is at most ServerOptions::max_memory, and one body for
/// each worker whose caller has gone; for the rest of a connection see Limits.
class CLEAVE_EXPORT Server {
 public:
  using Handler = transport::Handler;
  using AsyncHandler = transport::AsyncHandler;

  /// Errc::in_use: the port is taken; permission_denied: not allowed to listen there, beyond
  /// loopback without TLS (unless it is off), or a file that others may read or write;
  /// invalid_argument: no such address, less than one worker, max_memory below what all
  /// connections' first credits and one body take, or a certificate without its key; not_found or
  /// corrupt: a file of options.security.
  static core::Result<std::unique_ptr<Server>> listen(ServerOptions options);
  /// stop().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// `handler` runs on a worker, several at once if there are several workers. Requests wait by
  /// priority, then by age; one whose time has passed, or that was cancelled, is dropped before it
  /// runs. An exception that escapes is answered with Errc::internal. Requests to what nobody
  /// handles are answered with Errc::not_found. A later handler replaces an earlier one.
  void handle(std::string service, std::string method, Handler handler);
  /// Of each request `sink` takes the body's pieces as they arrive, in order, on a thread of the
  /// server's, and then answers on a worker like a handler. A body of a bound up to 256 KiB goes to
  /// the worker at once (BodySink::take()): it is here before a thread could be woken for its
  /// beginning.
  void handle_stream(std::string service, std::string method, SinkFactory sink);
  /// `handler` runs on the I/O thread and must not block; it answers when it likes, but before the
  /// server is destroyed.
  void handle_async(std::string service, std::string method, AsyncHandler handler);

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] ServerLoad load() const;
  /// Accepts nothing new, lets the requests that workers have or that wait for one finish and their
  /// replies leave, then closes. Not to be called from a handler. Safe to call twice.
  void stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
