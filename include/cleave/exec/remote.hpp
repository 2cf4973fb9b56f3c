// The other host, as the executor sees it. An interface, so that its failures can be made in tests.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>
#include <vector>

namespace cleave::inline v0::exec {

/// What chooses an endpoint where a host is reached by several.
struct RemoteChoice {
  core::Bytes body;  ///< of the request; about, where it is not encoded yet
  core::Seconds
      work;  ///< that the far side is expected to need, without link and queue; 0: unknown
  /// What the caller would need from now on to do the work itself. An endpoint after the first is
  /// only tried if it is expected to finish sooner.
  core::Seconds alternative = core::Seconds(std::numeric_limits<double>::infinity());
  std::uint64_t avoid = 0;  ///< endpoints that failed this request already: a bit each
  std::optional<core::Fingerprint> model;  ///< only endpoints that serve it
};

/// What is left of a body whose beginning is under way already. Used by one thread.
class CLEAVE_EXPORT BodySource {
 public:
  virtual ~BodySource();
  /// All that is still to come has at most so many bytes.
  [[nodiscard]] virtual std::uint64_t bound() const = 0;
  /// The next bytes; none: that was all. After an error nothing more is asked.
  [[nodiscard]] virtual core::Result<std::vector<std::byte>> next() = 0;
};

struct RemoteCall {
  std::string_view service, method;  ///< must live until start() returns
  std::vector<std::byte> body;
  std::uint8_t priority = 1;
  core::Seconds remaining = {};  ///< the cloud may drop the work after; 0: never
  core::Seconds patience = {};   ///< give up waiting after; 0: never
  RemoteChoice choice = {};
  /// What follows `body`: asked piece by piece by the thread that calls start() while the pieces
  /// before are sent, and not after start() has returned. Its error becomes the call's. Null:
  /// `body` is all.
  BodySource* more = nullptr;
};

/// Makes the rest of the body now, for who needs all of it. Errors: the source's.
CLEAVE_EXPORT core::Result<void> gather(RemoteCall& call);

struct RemoteReply {
  std::vector<std::byte> body;
  core::Seconds upload;    ///< the request's body, first byte to last, at the receiver; 0: unknown
  core::Seconds queue;     ///< waiting for a worker
  core::Seconds handler;   ///< the worker's time
  core::Seconds download;  ///< the reply's body, first byte to last, here
};

/// A call that was started.
struct RemoteStart {
  /// Which endpoint has it, its bit in RemoteChoice::avoid; nothing: none would take it, and the
  /// call has failed already.
  std::optional<unsigned> endpoint;
  /// The call completes with Errc::cancelled unless it has completed; the far side is told.
  /// Callable from any thread, more than once, and after the call is over. May be empty: the call
  /// is over.
  std::function<void()> cancel;
};

/// Thread-safe.
class CLEAVE_EXPORT Remote {
 public:
  using Done = std::function<void(core::Result<RemoteReply>)>;

  virtual ~Remote();
  /// Blocks the calling thread; of a call without `more`. Errors: unavailable (no connection, or it
  /// broke), timed_out (no reply within the patience), refused, exhausted, and whatever the cloud's
  /// handler failed with. After an error no reply will come.
  [[nodiscard]] virtual core::Result<RemoteReply> call(RemoteCall call) = 0;

  /// The same without waiting for the reply. `done` is called exactly once, on any thread, perhaps
  /// before this returns; it must not block. By default gather() and call(), here and now, as
  /// endpoint 0.
  virtual RemoteStart start(RemoteCall call, Done done);

  /// Whether start() would find an endpoint now: asked before a request is encoded, so it must
  /// cost microseconds. By default: unless endpoint 0 is to be avoided.
  [[nodiscard]] virtual bool available(const RemoteChoice& choice) const;

  /// The reply to a request that start() gave to this endpoint was no such reply (a check failed):
  /// counts against it. By default nothing.
  virtual void distrust(unsigned endpoint);
};

}  // namespace cleave::inline v0::exec
