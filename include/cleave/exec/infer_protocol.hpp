// What edge and cloud say to each other about one request, inside the transport's frames.
//
// Service "infer".
//   method "tail":   request: u8 format (1), u64 structure, u64 weights, u64 cut, string codec,
//                    u32 count + u16 levels of the cloud's knobs, then the encoded cut tensors.
//                    Format 2, for a head that is no prefix of the sequence: before the tensors
//                    u32 count + (u32, u32) ranges of the head's steps, at most head_limit of them.
//                    reply: u8 format (1), f64 decode, f64 compute, f64 encode (seconds), then the
//                    outputs, encoded with "raw". decode is what was left of it when the request's
//                    last byte was there.
//                    Both end with a u64 check, see seal(): bytes that were changed on the way, or
//                    a reply that belongs to another request, never become an answer.
//   method "models": request: empty. reply: u8 format (1), u32 count of (u64 structure, u64
//                    weights), u32 count of (string knob, u32 count of string levels).
// Numbers are little-endian; a string is a u32 length and its bytes.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/step_graph.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::exec {

inline constexpr std::string_view infer_service = "infer";
inline constexpr std::string_view tail_method = "tail";
inline constexpr std::string_view models_method = "models";

/// Ranges of steps that one request may name.
inline constexpr std::uint32_t head_limit = 4096;

struct TailRequest {
  core::Fingerprint model;
  core::CutId cut;
  std::string codec;
  std::vector<core::LevelIndex> levels;    ///< of the cloud's knobs; empty: as they are
  std::span<const std::byte> values;       ///< encoded; points into the message
  std::vector<core::StepRange> head = {};  ///< see core::Cut::head
};

struct TailTimes {
  core::Seconds decode, compute, encode;
};

struct TailReply {
  TailTimes times;
  std::span<const std::byte> outputs;  ///< encoded with "raw"; points into the message
};

struct HostDescription {
  struct KnobDescription {
    std::string name;
    std::vector<std::string> levels;
  };
  std::vector<core::Fingerprint> models;
  std::vector<KnobDescription> knobs;
};

/// Appends the request up to, and without, the encoded values; the caller encodes them behind it
/// and seals the whole.
CLEAVE_EXPORT void write_tail_request_header(const TailRequest& request,
                                             std::vector<std::byte>& out);
/// Of an unsealed message. Errc::corrupt for anything that write_tail_request_header() could not
/// have written.
CLEAVE_EXPORT core::Result<TailRequest> parse_tail_request(std::span<const std::byte> message);

/// How long the header of a request is that begins like this, as far as that can be told: if there
/// are so many bytes, parse_tail_request() says what the header is, or that it is none.
CLEAVE_EXPORT std::size_t least_tail_request_header(std::span<const std::byte> beginning);

/// Appends the reply up to, and without, the encoded outputs.
CLEAVE_EXPORT void write_tail_reply_header(const TailTimes& times, std::vector<std::byte>& out);
CLEAVE_EXPORT core::Result<TailReply> parse_tail_reply(std::span<const std::byte> message);

/// Appends the XXH3-64 of the message so far and gives it back. A request's seed is 0, a reply's is
/// the check of its request, so that it fits that one only. It finds accidents (a bit in a router's
/// memory, mixed-up frames), not attackers.
CLEAVE_EXPORT std::uint64_t seal(std::vector<std::byte>& message, std::uint64_t seed = 0);

struct Unsealed {
  std::span<const std::byte> message;  ///< without the check
  std::uint64_t check = 0;
};
/// Errc::corrupt unless seal() wrote the end of this with the same seed.
CLEAVE_EXPORT core::Result<Unsealed> unseal(std::span<const std::byte> sealed,
                                            std::uint64_t seed = 0);

/// Of what stands behind a message whose hash is `check`: Errc::corrupt unless seal() wrote it.
CLEAVE_EXPORT core::Result<void> check_seal(std::span<const std::byte> written,
                                            std::uint64_t check);

CLEAVE_EXPORT std::vector<std::byte> write_description(const HostDescription& description);
CLEAVE_EXPORT core::Result<HostDescription> parse_description(std::span<const std::byte> message);

}  // namespace cleave::inline v0::exec
