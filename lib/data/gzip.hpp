// Bounded decompression.
#pragma once

#include <cleave/core/result.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::data {

/// The bytes start as a gzip stream does (RFC 1952).
bool is_gzip(std::span<const std::byte> bytes);

/// Inflates one gzip stream into at most `limit` bytes. Errors: corrupt, exhausted; `where` names
/// the file in them.
core::Result<std::vector<std::byte>> gunzip(std::span<const std::byte> bytes, std::size_t limit,
                                            const std::string& where);

}  // namespace cleave::inline v0::data
