// How the values that cross a cut become bytes: exactly, or smaller with a stated error.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace cleave::inline v0::transport {

/// Encodes the elements of one block of a tensor. Implementations are thread-safe and keep no
/// state.
class CLEAVE_EXPORT Codec {
 public:
  virtual ~Codec();
  /// Unique; it is sent with every message. At most 64 bytes.
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// What comes out is what went in, bit for bit.
  [[nodiscard]] virtual bool lossless() const = 0;
  /// The bytes that encode() appends for so many elements. Nothing: it depends on the values.
  [[nodiscard]] virtual std::optional<std::size_t> encoded_size(core::DType dtype,
                                                                std::size_t elements) const = 0;
  /// Appends the encoded elements. False, with nothing appended, if this codec does not take these
  /// elements: they are then sent as they are.
  [[nodiscard]] virtual bool encode(core::DType dtype, std::span<const std::byte> elements,
                                    std::vector<std::byte>& out) const = 0;
  /// Fills `elements`, whose size is known from elsewhere. The encoded bytes are hostile:
  /// Errc::corrupt if they do not fit.
  [[nodiscard]] virtual core::Result<void> decode(core::DType dtype,
                                                  std::span<const std::byte> encoded,
                                                  std::span<std::byte> elements) const = 0;
};

/// The codecs that come with cleave:
///
/// - "raw": every element as it is.
/// - "fp16": float32 as IEEE 754 binary16, rounded to nearest even: 2 bytes an element. The
///   relative error is at most 2^-11 for 2^-14 <= |x| <= 65504, the absolute error at most 2^-25
///   below. Finite numbers beyond 65504 become 65504 with their sign; infinities and NaNs stay what
///   they are (a NaN keeps the upper bits of its payload and becomes quiet).
/// - "int8": float32 as one of 256 levels from the smallest to the largest element: 1 byte an
///   element and 8 a block. |x - x'| <= range / 510 + 2^-22 max |x|; the smallest element, a block
///   of one value, and zeros that are the smallest element (behind a ReLU) are exact. A block with
///   a NaN or an infinity, or with a range that 32-bit arithmetic does not carry, is sent as it is.
/// - "int4", "int2": the same with 16 and with 4 levels: 1/2 and 1/4 byte an element and 8 a block;
///   |x - x'| <= range / 30 and range / 6, each + 2^-22 max |x|. They cost accuracy: a profile
///   tells how much at each cut.
///
/// Elements of all other types are sent as they are.
CLEAVE_EXPORT std::span<const std::string_view> codec_names();

/// A codec that lives as long as the program. Errc::not_found, with the names there are.
CLEAVE_EXPORT core::Result<const Codec*> find_codec(std::string_view name);

/// Appends `values` to `out`; a buffer that is cleared and used again is not allocated again.
///
/// Tensors keep sizes and strides. What is sent of a tensor is what it views: a dense tensor's
/// elements in the order of memory (so channels-last stays that, without a copy to contiguous), a
/// view with gaps packed in the order of its dimensions, a broadcast dimension once. Tensors that
/// overlap in one storage are sent once and overlap in the same way after decoding.
///
/// Errc::invalid_argument: a tensor without a storage, more than 64 dimensions, or values nested
/// deeper than 32; then `out` is as it was.
CLEAVE_EXPORT core::Result<void> encode_values(const core::Values& values, const Codec& codec,
                                               std::vector<std::byte>& out);

/// Of a message that may be hostile.
struct DecodeLimits {
  std::size_t max_bytes = std::size_t{1} << 30;  ///< of all tensors, by their sizes and as stored
  std::uint32_t max_values = 1U << 16;           ///< nodes of the value tree
  std::uint32_t max_depth = 32;
  std::uint32_t max_string = 1U << 20;
  /// A codec of the application's own, for messages that name it; null: only find_codec()'s.
  const Codec* codec = nullptr;
};

/// What encode_values() wrote; `message` is exactly that. Nothing is allocated before its length
/// has been checked against the message and the limits.
/// Errc::corrupt: no such message; version: written by a newer cleave; not_found: an unknown codec;
/// exhausted: over a limit.
CLEAVE_EXPORT core::Result<core::Values> decode_values(std::span<const std::byte> message,
                                                       const DecodeLimits& limits = {});

}  // namespace cleave::inline v0::transport
