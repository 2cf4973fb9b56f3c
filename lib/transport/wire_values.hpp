// The bytes of encoded values, shared by the two sides.
//
//   u32 magic, u8 format, u32 bytes of the head, then the head:
//   string codec, u32 blocks,
//   a block:  u8 dtype of its elements, u8 coded (0: as they are, 1: by the codec),
//             u64 bytes decoded, u32 channels, u64 run (see BlockShape)
//   u32 values, then each value:
//   u8 tag, then  bool: u8 | int: i64 | double: f64 | string: string
//                 tensor: u8 dtype, u32 block, u64 byte offset in the block, u8 dimensions,
//                         i64 sizes, i64 strides
//                 list: string element type, u32 count, values | tuple: u32 count, values
//                 dict: string key type, string value type, u32 count, key and value in turn
//   behind the head the blocks, in order:
//   as they are:  their bytes
//   by the codec: the codec's header, as long as it says for such a block, then for each piece of
//                 256 KiB of elements, the last one shorter: u32 bytes encoded, and these bytes.
//
// Little-endian; a string is a u32 length and its bytes.
#pragma once

#include <cleave/core/tensor.hpp>
#include <cleave/transport/codec.hpp>

#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::transport::wire {

inline constexpr std::uint32_t values_magic = 0x4C415643;  // "CVAL"
inline constexpr std::uint8_t values_format = 2;
inline constexpr std::size_t max_dimensions = 64;
inline constexpr std::uint32_t max_depth = 32;
inline constexpr std::uint32_t max_codec_name = 64;
inline constexpr std::size_t block_bytes = 22;
inline constexpr std::size_t prelude_bytes = 9;  // before the head

enum class Tag : std::uint8_t {
  none = 0,
  uninitialized = 1,
  boolean = 2,
  integer = 3,
  real = 4,
  string = 5,
  tensor = 6,
  list = 7,
  tuple = 8,
  dict = 9,
};

// Elements of a piece that is not the last.
inline std::size_t piece_elements(core::DType dtype) {
  return piece_bytes / core::size_of(dtype);
}

}  // namespace cleave::inline v0::transport::wire
