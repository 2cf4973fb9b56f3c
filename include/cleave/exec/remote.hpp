// The other host, as the executor sees it. An interface, so that its failures can be made in tests.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cleave::inline v0::exec {

struct RemoteCall {
  std::string_view service, method;
  std::vector<std::byte> body;
  std::uint8_t priority = 1;
  core::Seconds remaining;  ///< the cloud may drop the work after; 0: never
  core::Seconds patience;   ///< give up waiting after
};

struct RemoteReply {
  std::vector<std::byte> body;
  core::Seconds upload;    ///< the request's body, first byte to last, at the receiver; 0: unknown
  core::Seconds queue;     ///< waiting for a worker
  core::Seconds handler;   ///< the worker's time
  core::Seconds download;  ///< the reply's body, first byte to last, here
};

/// Thread-safe; call() blocks the calling thread.
class CLEAVE_EXPORT Remote {
 public:
  virtual ~Remote();
  /// Errors: unavailable (no connection, or it broke), timed_out (no reply within the patience),
  /// refused, exhausted, and whatever the cloud's handler failed with. After an error no reply will
  /// come.
  [[nodiscard]] virtual core::Result<RemoteReply> call(RemoteCall call) = 0;
};

}  // namespace cleave::inline v0::exec
