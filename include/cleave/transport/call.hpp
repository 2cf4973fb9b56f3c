// A call to the other side of a connection, and its answer.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/transport/shared_bytes.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace cleave::inline v0::transport {

struct Call {
  std::string service, method;
  /// Sent where it lies. Its owner is held until the last of it has been written, which after a
  /// failure may be a little after the call's end.
  SharedBytes body;
  std::uint8_t priority = 1;  ///< larger is more urgent, on the link and in the server's queue
  /// What the server may drop the work after; told to it with the request. 0: never.
  core::Seconds remaining;
  /// After which the call fails with Errc::timed_out and the server is told to drop it. 0: never.
  core::Seconds timeout;
};

struct Response {
  std::vector<std::byte> body;
  core::Seconds upload;    ///< the request's body arriving, as the server saw it; 0: all at once
  core::Seconds queue;     ///< waiting for a worker there
  core::Seconds handler;   ///< the work there
  core::Seconds download;  ///< the reply's body arriving here; 0: all at once
};

using CallId = std::uint64_t;
using CallCallback = std::function<void(core::Result<Response>)>;

}  // namespace cleave::inline v0::transport
