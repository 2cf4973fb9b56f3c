// How the values that cross a cut become bytes: exactly, or smaller with a stated error.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace cleave::inline v0::transport {

/// A block: elements of one type that lie side by side in memory, and which channel each belongs
/// to.
///
/// The channel of element i is (i / run) % channels. It is dimension 1 of a tensor of four or five
/// dimensions (batch, channels, rows, columns), whatever its strides: run is the size of a picture
/// in a row-major tensor and 1 in a channels-last one. It is the last dimension of a tensor of two
/// or three (batch, tokens, features). Tensors of other numbers of dimensions, blocks that several
/// tensors share in parts, and broadcast channels have one channel.
struct BlockShape {
  core::DType dtype = core::DType::uint8;
  std::size_t elements = 0;
  std::size_t channels = 1;
  std::size_t run = 1;

  friend bool operator==(const BlockShape&, const BlockShape&) = default;
};

/// Some elements of a block that follow one another: what is encoded, sent and decoded at a time.
/// A block is coded in pieces of piece_bytes bytes of elements, the last one shorter.
struct Piece {
  const BlockShape& block;
  std::span<const std::byte> header;  ///< what Codec::prepare() wrote for the block
  std::size_t first = 0;              ///< of its elements; a multiple of those of a whole piece
};
inline constexpr std::size_t piece_bytes = std::size_t{256} << 10;

/// Memory that a codec may keep from one piece of a message to the next, so as not to allocate it
/// again. Each ValuesEncoder and ValuesDecoder has one of its own.
struct Workspace {
  std::vector<std::byte> bytes;
  std::shared_ptr<void> state;
};

/// Encodes the elements of blocks, piece by piece. An application's own codec derives from this and
/// is given to ValuesEncoder and, in DecodeLimits, to ValuesDecoder. Implementations are
/// thread-safe and keep no state. Sizes are in bytes.
class CLEAVE_EXPORT Codec {
 public:
  virtual ~Codec();
  /// Unique; it is sent with every message. At most 64 bytes.
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// What comes out is what went in, bit for bit.
  [[nodiscard]] virtual bool lossless() const = 0;
  /// What stands before the block's pieces, a range, say: told by the shape alone.
  [[nodiscard]] virtual std::size_t header_size(const BlockShape& block) const;
  /// Looks at the whole block before its first piece, and fills `header` of header_size(). False if
  /// this codec does not take these elements: they are then sent as they are.
  [[nodiscard]] virtual bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                                     std::span<std::byte> header) const = 0;
  /// The most that encode() makes of `count` elements (as many as a piece has).
  [[nodiscard]] virtual std::size_t bound(const BlockShape& block, std::size_t count) const = 0;
  /// Encodes the elements of a piece into `to` of bound() bytes, and tells how many it filled.
  [[nodiscard]] virtual std::size_t encode(const Piece& piece, std::span<const std::byte> elements,
                                           std::span<std::byte> to, Workspace& workspace) const = 0;
  /// Fills `elements`, whose size is known from elsewhere and is that of a piece; pieces come in
  /// order. Header and encoded bytes are hostile: Errc::corrupt if they do not fit. `encoded` is no
  /// longer than bound().
  [[nodiscard]] virtual core::Result<void> decode(const Piece& piece,
                                                  std::span<const std::byte> encoded,
                                                  std::span<std::byte> elements,
                                                  Workspace& workspace) const = 0;
};

/// The codecs that come with cleave; docs/codecs.md has their formats and what they cost.
///
/// - "raw": every element as it is.
/// - "fp16": float32 as IEEE 754 binary16, rounded to nearest even: 2 bytes an element. The
///   relative error is at most 2^-11 for 2^-14 <= |x| <= 65504, the absolute error at most 2^-25
///   below. Finite numbers beyond 65504 become 65504 with their sign; infinities and NaNs stay what
///   they are (a NaN keeps the upper bits of its payload and becomes quiet).
/// - "bf16": float32 as bfloat16, rounded to nearest even: 2 bytes an element. The relative error
///   is at most 2^-8 for 2^-126 <= |x|, the absolute error at most 2^-134 below. Finite numbers
///   stay finite; infinities and NaNs as with fp16.
/// - "int8": float32 as one of 256 levels from the smallest to the largest element: 1 byte an
///   element and 8 a block. |x - x'| <= range / 510 + 2^-22 max |x|; the smallest element, a block
///   of one value, and zeros that are the smallest element (behind a ReLU) are exact.
/// - "int8c": the same for each channel by its own range, with 8 bytes a channel. Channels of fewer
///   than 16 elements share one range, as with int8.
/// - "q6", "q4": float32 in groups of 64 that follow one another in memory, each with 64 and with
///   16 levels over its own range: 6.5 and 4.5 bits an element. With n levels, and range and
///   maximum those of the group,
///       |x - x'| <= (1 + 2^-6) (range + 2^-7 max |x|) / (2 (n - 1)) + 2^-22 max |x| + 2^-120.
///   Zeros that are the smallest element of their group are exact.
/// - "int4", "int2": int8 with 16 and with 4 levels: 1/2 and 1/4 byte an element and 8 a block;
///   |x - x'| <= range / 30 and range / 6, each + 2^-22 max |x|. They cost accuracy: a profile
///   tells how much at each cut.
///
/// Sent as they are: elements of all types but float32; for the codecs with ranges, blocks with a
/// NaN or an infinity, blocks whose ranges 32-bit arithmetic does not carry, and blocks too small
/// to gain.
///
/// Each name may be followed by "+zstd" or "+zstd:LEVEL", LEVEL from -7 (fastest) to 19; without
/// one, and for 0, it is zstd's default, 3. What the codec makes, or leaves as it is, is compressed
/// without loss, piece by piece, of 2-byte numbers the lower bytes first and then the upper ones.
///
/// These are the names without zstd.
CLEAVE_EXPORT std::span<const std::string_view> codec_names();

/// A codec that lives as long as the program. Errc::not_found, with the names there are.
CLEAVE_EXPORT core::Result<const Codec*> find_codec(std::string_view name);

/// Makes the message of `values` from front to back, so that its beginning can be sent while the
/// rest is still to be encoded.
///
/// Tensors keep sizes and strides. What is sent of a tensor is what it views: a dense tensor's
/// elements in the order of memory (so channels-last stays that, without a copy to contiguous), a
/// view with gaps packed in the order of its dimensions, a broadcast dimension once. Tensors that
/// overlap in one storage are sent once and overlap in the same way after decoding.
///
/// Used by one thread at a time. Keeps the storages of the tensors, whose elements must not change
/// until the message is whole, and `codec` must outlive it.
class CLEAVE_EXPORT ValuesEncoder {
 public:
  /// Looks at all elements once where the codec needs their range.
  /// Errc::invalid_argument: a tensor without a storage, more than 64 dimensions, values nested
  /// deeper than 32, a name of the codec over 64 bytes.
  static core::Result<ValuesEncoder> make(const core::Values& values, const Codec& codec);
  ValuesEncoder(ValuesEncoder&&) noexcept;
  ValuesEncoder& operator=(ValuesEncoder&&) noexcept;
  ~ValuesEncoder();

  /// The most bytes that the message can have: as many as it will have, but for codecs whose size
  /// depends on the values (zstd).
  [[nodiscard]] std::uint64_t bound() const;
  /// Bytes that next() has appended so far.
  [[nodiscard]] std::uint64_t encoded() const;
  [[nodiscard]] bool done() const;
  /// Appends what comes next, piece by piece, until it has appended at least `at_least` bytes (and
  /// one piece) or the message is whole. It appends at most a piece more than asked for.
  void next(std::size_t at_least, std::vector<std::byte>& out);

 private:
  class Impl;
  explicit ValuesEncoder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Appends the whole message of ValuesEncoder to `out`; a buffer that is cleared and used again is
/// not allocated again. Errors are those of ValuesEncoder::make(); then `out` is as it was.
CLEAVE_EXPORT core::Result<void> encode_values(const core::Values& values, const Codec& codec,
                                               std::vector<std::byte>& out);

/// Of a message that may be hostile.
struct DecodeLimits {
  std::size_t max_bytes = std::size_t{1} << 30;  ///< of all tensors, by their sizes and as stored
  std::size_t max_head = std::size_t{64} << 20;  ///< of everything but the tensors' elements
  std::uint32_t max_values = 1U << 16;           ///< nodes of the value tree
  std::uint32_t max_depth = 32;
  std::uint32_t max_string = 1U << 20;
  /// A codec of the application's own, for messages that name it; null: only find_codec()'s.
  const Codec* codec = nullptr;
  /// Asked once, before anything is allocated for elements, with the bytes of all tensors as stored
  /// (at most max_bytes). False: Errc::exhausted. Null: yes.
  std::function<bool(std::size_t bytes)> admit = nullptr;
};

/// Takes the message of a ValuesEncoder in parts of any sizes, and decodes elements as they come,
/// straight into the storages of the values.
///
/// Used by one thread at a time. A length in the message is checked against the limits before
/// anything is allocated, and a block is allocated when its first elements are there; beside the
/// limits a decoder holds at most one encoded piece.
class CLEAVE_EXPORT ValuesDecoder {
 public:
  explicit ValuesDecoder(const DecodeLimits& limits = {});
  ValuesDecoder(ValuesDecoder&&) noexcept;
  ValuesDecoder& operator=(ValuesDecoder&&) noexcept;
  ~ValuesDecoder();

  /// Takes the message's next bytes. Errc::corrupt: no such message, or bytes behind its end;
  /// version: written by another cleave; not_found: an unknown codec; exhausted: over a limit.
  /// After an error every call gives it again.
  [[nodiscard]] core::Result<void> add(std::span<const std::byte> bytes);
  /// The message is whole.
  [[nodiscard]] bool done() const;
  /// The values, once. Errc::corrupt if the message is not whole; or the error that add() gave.
  [[nodiscard]] core::Result<core::Values> finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// What encode_values() wrote; `message` is exactly that. Errors are those of ValuesDecoder.
CLEAVE_EXPORT core::Result<core::Values> decode_values(std::span<const std::byte> message,
                                                       const DecodeLimits& limits = {});

}  // namespace cleave::inline v0::transport
