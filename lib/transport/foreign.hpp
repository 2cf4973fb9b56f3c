// What somebody speaks who does not speak our protocol, by his first bytes; not installed.
#pragma once

#include <cleave/core/result.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace cleave::inline v0::transport {

// An error that says so, if they are known. HELLO begins with its length, of which the third byte
// is zero.
inline std::optional<core::Error> foreign_protocol(std::span<const std::byte> first) {
  const std::string_view text(reinterpret_cast<const char*>(first.data()), first.size());
  // A record of TLS: handshake or alert, then the version 3.x, never 3.0 (RFC 8446, 5.1).
  if ((text.starts_with("\x16\x03") || text.starts_with("\x15\x03")) && text.size() > 2 &&
      text[2] != 0)
    return core::Error{core::Errc::mismatch,
                       "the peer speaks TLS and this side does not",
                       {},
                       "use TLS on both sides or on none"};
  for (const std::string_view http : {"HTTP/", "GET ", "POST ", "HEAD ", "PRI * "})
    if (text.starts_with(http))
      return core::Error{
          core::Errc::corrupt, "the peer speaks HTTP", {}, "is this the right port?"};
  return std::nullopt;
}

}  // namespace cleave::inline v0::transport
