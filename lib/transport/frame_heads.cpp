#include "lib/transport/frame_heads.hpp"

#include <cleave/core/bytes.hpp>

#include <algorithm>
#include <cmath>
#include <string>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Seconds;
using Bytes = std::vector<std::byte>;

std::uint64_t microseconds(Seconds time) {
  const double us = std::ceil(time.count() * 1e6);
  return us > 0 ? (us < 9e18 ? static_cast<std::uint64_t>(us) : 0) : 0;
}

Seconds from_microseconds(std::uint64_t us) {
  return Seconds(static_cast<double>(us) * 1e-6);
}

std::string_view clipped(std::string_view text) {
  return text.substr(0, max_error_text);
}

}  // namespace

void put_head(Bytes& bytes, const HelloHead& head) {
  core::ByteWriter to(bytes);
  to.put(protocol_magic);
  to.put(head.oldest);
  to.put(head.newest);
  to.put(head.features);
  to.put(head.limits.max_body);
  to.put(head.limits.max_frame);
  to.put(head.limits.max_in_flight);
  to.put(head.limits.first_credit);
}

core::Result<HelloHead> read_hello(std::span<const std::byte> bytes) {
  core::ByteReader from(bytes);
  const auto broken = [](const char* what) {
    return fail(Errc::corrupt, what, "connection",
                "the peer is no cleave, or something between damages bytes");
  };
  if (from.get<std::uint32_t>() != protocol_magic || !from.ok())
    return broken("the peer does not speak cleave's protocol");
  HelloHead head;
  head.oldest = from.get<std::uint16_t>();
  head.newest = from.get<std::uint16_t>();
  if (from.ok() && (head.oldest > protocol_version || head.newest < protocol_version))
    return fail(Errc::version,
                "the peer speaks the protocol's versions " + std::to_string(head.oldest) + " to " +
                    std::to_string(head.newest) + ", this side " + std::to_string(protocol_version),
                "connection",
                head.oldest > protocol_version ? "update this side" : "update the other side");
  head.features = from.get<std::uint64_t>();
  head.limits.max_body = from.get<std::uint64_t>();
  head.limits.max_frame = from.get<std::uint32_t>();
  head.limits.max_in_flight = from.get<std::uint32_t>();
  head.limits.first_credit = from.get<std::uint64_t>();
  if (!from.ok())
    return broken("a hello that is cut short");
  return head;
}

void put_head(Bytes& bytes, std::uint64_t bound, const RequestHead& request) {
  core::ByteWriter to(bytes);
  to.put(bound);
  to.put(microseconds(request.remaining));
  to.put(request.priority);
  to.put_string(request.service);
  to.put_string(request.method);
}

std::optional<RequestFrameHead> read_request(std::span<const std::byte> bytes) {
  core::ByteReader from(bytes);
  RequestFrameHead head;
  head.bound = from.get<std::uint64_t>();
  head.request.remaining = from_microseconds(from.get<std::uint64_t>());
  head.request.priority = from.get<std::uint8_t>();
  head.request.service = from.get_string(max_name);
  head.request.method = from.get_string(max_name);
  return from.ok() ? std::optional(std::move(head)) : std::nullopt;
}

void put_head(Bytes& bytes, std::uint64_t bound, const ServerTimes& times) {
  core::ByteWriter to(bytes);
  to.put(bound);
  to.put(microseconds(times.upload));
  to.put(microseconds(times.queue));
  to.put(microseconds(times.handler));
}

std::optional<ReplyFrameHead> read_reply(std::span<const std::byte> bytes) {
  core::ByteReader from(bytes);
  ReplyFrameHead head;
  head.bound = from.get<std::uint64_t>();
  head.times.upload = from_microseconds(from.get<std::uint64_t>());
  head.times.queue = from_microseconds(from.get<std::uint64_t>());
  head.times.handler = from_microseconds(from.get<std::uint64_t>());
  return from.ok() ? std::optional(head) : std::nullopt;
}

void put_head(Bytes& bytes, const core::Error& error) {
  core::ByteWriter to(bytes);
  to.put(static_cast<std::uint8_t>(error.code));
  to.put_string(clipped(error.what));
  to.put_string(clipped(error.where));
  to.put_string(clipped(error.hint));
}

std::optional<core::Error> read_error(std::span<const std::byte> bytes) {
  core::ByteReader from(bytes);
  const auto code = from.get<std::uint8_t>();
  core::Error error;
  error.what = from.get_string(max_error_text);
  error.where = from.get_string(max_error_text);
  error.hint = from.get_string(max_error_text);
  error.code =
      code <= static_cast<std::uint8_t>(Errc::internal) ? static_cast<Errc>(code) : Errc::internal;
  return from.ok() ? std::optional(std::move(error)) : std::nullopt;
}

}  // namespace cleave::inline v0::transport
