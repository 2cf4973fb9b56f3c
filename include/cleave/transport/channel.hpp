// A connection to a server, and the calls made on it.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/call.hpp>
#include <cleave/transport/io_context.hpp>
#include <cleave/transport/limits.hpp>
#include <cleave/transport/service.hpp>
#include <cleave/transport/tls.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

struct ChannelOptions {
  std::string host = "127.0.0.1";  ///< a name or an address
  std::uint16_t port = 0;
  core::Seconds connect_timeout = core::Seconds(5);  ///< for connecting and the first words
  /// Nothing heard for three of these, pings included, is a lost connection. 0: no pings; the
  /// server then closes the connection when it is idle (PeerLimits::idle_timeout).
  core::Seconds heartbeat = core::Seconds(5);
  /// Unsent bytes kept in the kernel, where nothing can overtake them. 0: the kernel's default.
  std::uint32_t unsent_low_water = 128U << 10;
  Limits limits;
  ClientSecurity security;  ///< TLS and tokens
  /// What the server may ask of this side; handlers run on the I/O thread and must not block.
  std::vector<Service> services;
  std::shared_ptr<IoContext> io;             ///< one of the channel's own if null
  std::shared_ptr<const core::Clock> clock;  ///< for deadlines and times; a SteadyClock if null
  core::LogSink* log = &core::null_log();    ///< must outlive the channel
  core::MetricsSink* metrics = &core::null_metrics();  ///< likewise
};

/// The body of a call, made while it is sent. From one thread at a time.
class CLEAVE_EXPORT OutgoingBody {
 public:
  OutgoingBody(OutgoingBody&&) noexcept;
  OutgoingBody& operator=(OutgoingBody&&) noexcept;
  /// Cancels the call unless finish() was called.
  ~OutgoingBody();
  /// The next bytes. Over the bound in all: the call completes with Errc::exhausted.
  void write(SharedBytes piece);
  /// That was all.
  void finish();
  /// For Channel::cancel(); 0 once it is finished.
  [[nodiscard]] CallId id() const;

  struct Impl;
  /// For the library's own use.
  explicit OutgoingBody(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

/// Thread-safe. Every call completes exactly once: with the reply, the server's error,
/// Errc::timed_out, Errc::cancelled, Errc::exhausted (a limit), Errc::invalid_argument (a name), or
/// Errc::unavailable when the connection is lost or the channel goes. A channel does not reconnect:
/// once connected() is false it stays so, and its owner makes another.
class CLEAVE_EXPORT Channel {
 public:
  using Callback = CallCallback;
  using ConnectCallback = std::function<void(core::Result<std::shared_ptr<Channel>>)>;

  /// Blocks until the server has said hello. Errc::unavailable: nobody there, or no such host;
  /// timed_out; refused: the server has too many connections; version: no common version; corrupt:
  /// something else answered; mismatch: it speaks TLS and this side does not; permission_denied:
  /// the server's certificate is not trusted, it wants a certificate or a token, or a token would
  /// go unencrypted; and what the files of options.security are found to be. Not to be called from
  /// a callback.
  static core::Result<std::shared_ptr<Channel>> connect(ChannelOptions options);
  /// The same without blocking, for probing in the background. `done` is called once, on the I/O
  /// thread, and must not block. What it returns cancels the attempt, from any thread: `done` is
  /// then told Errc::cancelled, unless it was told something before; from another thread than the
  /// I/O thread that returns when `done` has been called and is gone.
  static std::function<void()> connect_async(ChannelOptions options, ConnectCallback done);

  /// Completes what is pending with Errc::unavailable and closes the connection. From another
  /// thread than the I/O thread it returns when all callbacks have been called and are gone.
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// Blocks until the reply is in. Errc::invalid_argument from a callback, which must not block.
  [[nodiscard]] core::Result<Response> call(Call call);
  /// `done` is called once, on the I/O thread, and must not block.
  CallId start(Call call, Callback done);
  /// As start(), with a body of at most `bound` bytes that is written while the first of them are
  /// under way; call.body is not used. The channel may go before the body.
  [[nodiscard]] OutgoingBody start_streamed(Call call, std::uint64_t bound, Callback done);
  /// The call completes with Errc::cancelled unless it has completed already; the server is told.
  void cancel(CallId id);

  [[nodiscard]] bool connected() const;
  /// The latest ping's round trip; nothing before the first.
  [[nodiscard]] std::optional<core::Seconds> round_trip() const;
  /// Calls not yet completed.
  [[nodiscard]] std::size_t pending() const;
  /// Looks at the timeouts now. Only an injected clock that was moved needs it.
  void check_timeouts();

  struct Impl;
  /// For the library's own use.
  explicit Channel(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
