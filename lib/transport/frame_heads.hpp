// What stands in a frame before its body, as bytes and back. PROTOCOL.md says the same in prose.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/transport/protocol.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cleave::inline v0::transport {

struct HelloHead {
  std::uint16_t oldest = protocol_version, newest = protocol_version;  // versions spoken
  std::uint64_t features = 0;
  Limits limits;  // max_body, max_frame, max_in_flight and first_credit are the sender's
};

struct RequestFrameHead {
  std::uint64_t bound = 0;  // bytes of the body, at most
  RequestHead request;
};

struct ReplyFrameHead {
  std::uint64_t bound = 0;
  ServerTimes times;
};

// Appends to `to`. Texts of errors are clipped to what a peer accepts.
void put_head(std::vector<std::byte>& to, const HelloHead& head);
void put_head(std::vector<std::byte>& to, std::uint64_t bound, const RequestHead& request);
void put_head(std::vector<std::byte>& to, std::uint64_t bound, const ServerTimes& times);
void put_head(std::vector<std::byte>& to, const core::Error& error);

// Errc::corrupt: another protocol, or cut short; version: the peer speaks none that this side does.
// More fields may follow, in later versions.
core::Result<HelloHead> read_hello(std::span<const std::byte> from);
// Nothing: cut short, or a name that is too long.
std::optional<RequestFrameHead> read_request(std::span<const std::byte> from);
std::optional<ReplyFrameHead> read_reply(std::span<const std::byte> from);
// Codes of later versions become Errc::internal.
std::optional<core::Error> read_error(std::span<const std::byte> from);

}  // namespace cleave::inline v0::transport
