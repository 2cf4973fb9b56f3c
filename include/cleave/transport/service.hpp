// What one side of a connection answers to the other.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/call.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

/// The caller of a request, to be called back. Thread-safe; may outlive the connection, whose calls
/// then fail with Errc::unavailable.
class CLEAVE_EXPORT Peer {
 public:
  virtual ~Peer();
  /// As Channel::start().
  virtual CallId start(Call call, CallCallback done) = 0;
  virtual void cancel(CallId id) = 0;
  [[nodiscard]] virtual bool connected() const = 0;
};

/// A request as its handler sees it.
struct Incoming {
  std::vector<std::byte> body;
  std::uint8_t priority = 1;
  /// Time left when the handler was called; 0: no deadline.
  core::Seconds remaining;
  /// Of a BodySink: how long after the body's last byte it had taken all of it.
  core::Seconds behind = {};
  std::string peer;  ///< "address:port"
  /// Becomes true when the caller cancels or its connection is lost; long work looks at it.
  std::shared_ptr<const std::atomic<bool>> cancelled;
  std::shared_ptr<Peer> caller;
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

/// Takes one request's body while it arrives. Used by one thread at a time.
class CLEAVE_EXPORT BodySink {
 public:
  virtual ~BodySink();
  /// The next bytes. An error is the request's answer, and nothing more is called.
  [[nodiscard]] virtual core::Result<void> add(std::span<const std::byte> piece) = 0;
  /// All bytes were added; Incoming::body is empty. What it gives is the answer.
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> finish(const Incoming& incoming) = 0;
  /// Instead of both, once, where the body came at once: it is incoming.body. By default it is
  /// added, and then finish() called.
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> take(const Incoming& incoming);
};

using Handler = std::function<core::Result<std::vector<std::byte>>(const Incoming&)>;
using AsyncHandler = std::function<void(Incoming, Responder)>;
using SinkFactory = std::function<std::unique_ptr<BodySink>()>;

struct Service {
  std::string service, method;
  AsyncHandler handler;
};

}  // namespace cleave::inline v0::transport
