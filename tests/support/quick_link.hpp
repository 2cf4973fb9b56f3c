// Links to a cloud on this machine that try again at once.
#pragma once

#include <cleave/runtime/cloud_link.hpp>

#include <cstdint>

namespace cleave::tests {

inline runtime::CloudLinkOptions quick_link(std::uint16_t port, std::uint64_t seed = 1) {
  runtime::CloudLinkOptions options;
  options.host = "127.0.0.1";
  options.port = port;
  options.first_backoff = core::milliseconds(1);
  options.last_backoff = core::milliseconds(20);
  options.seed = seed;
  return options;
}

/// The same, without words but those of calls.
inline runtime::CloudLinkOptions quiet_link(std::uint16_t port) {
  runtime::CloudLinkOptions options = quick_link(port);
  options.heartbeat = core::Seconds(3600);
  options.probe_idle = false;
  return options;
}

}  // namespace cleave::tests
