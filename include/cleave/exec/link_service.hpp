// Requests that only measure the link.
//
// Service "link".
//   method "sink":   request: any bytes. reply: empty.
//   method "source": request: u64 count. reply: that many bytes, at most source_limit.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cleave::inline v0::exec {

inline constexpr std::string_view link_service = "link";
inline constexpr std::string_view sink_method = "sink";
inline constexpr std::string_view source_method = "source";
inline constexpr std::uint64_t source_limit = std::uint64_t{16} << 20;

/// What "source" answers. Errc::corrupt for a malformed request, exhausted over the limit.
CLEAVE_EXPORT core::Result<std::vector<std::byte>> answer_source(
    std::span<const std::byte> request);

}  // namespace cleave::inline v0::exec
