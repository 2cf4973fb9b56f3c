// Listens, and answers calls by a registry of services.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/io_context.hpp>
#include <cleave/transport/limits.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
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
  std::shared_ptr<IoContext> io;                        ///< one of the server's own if null
  std::shared_ptr<const core::Clock> clock;  ///< for deadlines and times; a SteadyClock if null
  core::LogSink* log = &core::null_log();    ///< must outlive the server
  core::MetricsSink* metrics = &core::null_metrics();  ///< likewise
};

/// A request as its handler sees it.
struct Incoming {
  std::vector<std::byte> body;
  std::uint8_t priority = 1;
  /// Time left when the handler was called; 0: no deadline.
  core::Seconds remaining;
  std::string peer;  ///< "address:port"
  /// Becomes true when the caller cancels or its connection is lost; long work looks at it.
  std::shared_ptr<const std::atomic<bool>> cancelled;
};

/// Answers one request, from any thread, once; further answers are ignored. Dropped unused, it
/// answers with Errc::internal.
class CLEAVE_EXPORT Responder {
 public:
  struct Impl;
  explicit Responder(std::unique_ptr<Impl> impl);
  ~Responder();
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  void answer(core::Result<std::vector<std::byte>> reply);

 private:
  std::unique_ptr<Impl> impl_;
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

/// Thread-safe. Memory is at most max_connections times a connection's (see Limits).
class CLEAVE_EXPORT Server {
 public:
  using Handler = std::function<core::Result<std::vector<std::byte>>(const Incoming&)>;
  using AsyncHandler = std::function<void(Incoming, Responder)>;

  /// Errc::in_use: the port is taken; permission_denied: not allowed to listen there;
  /// invalid_argument: no such address, or less than one worker.
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
