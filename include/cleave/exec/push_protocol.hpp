// How an edge brings a model file to a cloud that allows it.
//
// Service "models".
//   method "begin":  request: u8 format (1), string digest, u64 size, string extension.
//                    reply: u8 format (1), u64 offset: so many bytes are there already.
//   method "append": request: u8 format (1), string digest, u64 offset, then the file's bytes from
//                    there. reply: as begin's, the offset behind them.
//   method "commit": request: u8 format (1), string digest.
//                    reply: u8 format (1), u64 structure, u64 weights: the model is served.
// A digest is the file's SHA-256 as 64 lower-case hexadecimal digits. A push that broke off goes on
// with another "begin". Numbers are little-endian; a string is a u32 length and its bytes.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::exec {

inline constexpr std::string_view push_service = "models";
inline constexpr std::string_view begin_method = "begin";
inline constexpr std::string_view append_method = "append";
inline constexpr std::string_view commit_method = "commit";

struct PushBegin {
  std::string digest;
  std::uint64_t size = 0;  ///< bytes
  std::string extension;   ///< ".pt" or ".onnx"
};

struct PushAppend {
  std::string digest;
  std::uint64_t offset = 0;
  std::span<const std::byte> bytes;  ///< points into the message
};

CLEAVE_EXPORT std::vector<std::byte> write_push_begin(const PushBegin& begin);
CLEAVE_EXPORT std::vector<std::byte> write_push_append(const PushAppend& append);
CLEAVE_EXPORT std::vector<std::byte> write_push_commit(std::string_view digest);
CLEAVE_EXPORT std::vector<std::byte> write_push_offset(std::uint64_t offset);
CLEAVE_EXPORT std::vector<std::byte> write_push_committed(core::Fingerprint model);

/// Errc::corrupt for anything that the function above could not have written with a digest and an
/// extension as they must be: what these give is safe to make a file's name of.
CLEAVE_EXPORT core::Result<PushBegin> parse_push_begin(std::span<const std::byte> message);
CLEAVE_EXPORT core::Result<PushAppend> parse_push_append(std::span<const std::byte> message);
CLEAVE_EXPORT core::Result<std::string> parse_push_commit(std::span<const std::byte> message);
CLEAVE_EXPORT core::Result<std::uint64_t> parse_push_offset(std::span<const std::byte> message);
CLEAVE_EXPORT core::Result<core::Fingerprint> parse_push_committed(
    std::span<const std::byte> message);

}  // namespace cleave::inline v0::exec
