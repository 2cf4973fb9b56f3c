// Loops of the codecs that compilers vectorise as well as intrinsics would: each is written once
// and compiled twice, for any processor and for AVX2. Both give the same bits (no fused
// multiply-add). They are inline so that tests reach the two versions.
#pragma once

#include "lib/transport/codec_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#define CLEAVE_BODY __attribute__((always_inline)) inline

namespace cleave::inline v0::transport::kernels {

/// Elements of a group of the codecs q6 and q4.
inline constexpr std::size_t group_size = 64;

template <unsigned bits>
inline constexpr std::size_t group_bytes = group_size* bits / 8;

namespace body {

CLEAVE_BODY std::uint32_t bits_of(const float& value) {
  return __builtin_bit_cast(std::uint32_t, value);
}
CLEAVE_BODY float float_of_bits(std::uint32_t bits) {
  return __builtin_bit_cast(float, bits);
}

CLEAVE_BODY void to_bfloat(const float* from, std::size_t count, std::byte* to) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t bits = bits_of(from[i]);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
    const std::uint32_t rounded = (magnitude + 0x7FFFU + (magnitude >> 16 & 1U)) >> 16;
    // What would round to infinity saturates; infinities stay, NaNs become quiet.
    const std::uint32_t finite = rounded < 0x7F7FU ? rounded : 0x7F7FU;
    const std::uint32_t special = (magnitude >> 16) | (magnitude > 0x7F800000U ? 0x0040U : 0U);
    const auto half = static_cast<std::uint16_t>((bits >> 16 & 0x8000U) |
                                                 (magnitude < 0x7F800000U ? finite : special));
    std::memcpy(to + 2 * i, &half, sizeof half);
  }
}

CLEAVE_BODY void from_bfloat(const std::byte* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, from + 2 * i, sizeof half);
    to[i] = float_of_bits(std::uint32_t{half} << 16);
  }
}

/// The bits of the largest magnitude among the values.
CLEAVE_BODY std::int32_t largest_magnitude(const float* from, std::size_t count) {
  std::int32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto magnitude = static_cast<std::int32_t>(bits_of(from[i]) & 0x7FFFFFFFU);
    largest = magnitude > largest ? magnitude : largest;
  }
  return largest;
}

/// For each place of a row: widens least..most to hold the value. All are finite.
CLEAVE_BODY void widen_row(const float* from, std::size_t count, float* __restrict least,
                           float* __restrict most) {
  for (std::size_t i = 0; i < count; ++i) {
    least[i] = from[i] < least[i] ? from[i] : least[i];
    most[i] = from[i] > most[i] ? from[i] : most[i];
  }
}

CLEAVE_BODY void quantize_row(const float* from, std::size_t count, const float* least,
                              const float* inverse, std::byte* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) {
    const float scaled = (from[i] - least[i]) * inverse[i] + 0.5F;
    to[i] = static_cast<std::byte>(static_cast<std::int32_t>(scaled < 255.0F ? scaled : 255.0F));
  }
}

CLEAVE_BODY void dequantize_row(const std::byte* from, std::size_t count, const float* least,
                                const float* scale, float* __restrict to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = least[i] + static_cast<float>(static_cast<std::uint8_t>(from[i])) * scale[i];
}

/// One group: x' = least + q * scale, with both as bfloat16, least rounded down and scale up, so
/// that the levels reach both ends of the range. Of 6-bit numbers the lower four bits come first,
/// two numbers a byte (i and i + 32), then the upper two, four numbers a byte (i, i + 16, ...).
template <unsigned bits>
CLEAVE_BODY void encode_group(const float* from, std::byte* scale_to, std::byte* least_to,
                              std::byte* __restrict to) {
  constexpr float steps = (1U << bits) - 1;
  // Finite floats are in the order of these integers.
  std::int32_t low = std::numeric_limits<std::int32_t>::max(), high = -low - 1;
  for (std::size_t i = 0; i < group_size; ++i) {
    const auto signed_bits = static_cast<std::int32_t>(bits_of(from[i]));
    const std::int32_t key = signed_bits ^ ((signed_bits >> 31) & 0x7FFFFFFF);
    low = key < low ? key : low;
    high = key > high ? key : high;
  }
  const auto least_bits = static_cast<std::uint32_t>(low ^ ((low >> 31) & 0x7FFFFFFF));
  const float most = float_of_bits(static_cast<std::uint32_t>(high ^ ((high >> 31) & 0x7FFFFFFF)));
  const std::uint32_t least_half = (low < 0 ? least_bits + 0xFFFFU : least_bits) >> 16;
  const float least = float_of_bits(least_half << 16);
  std::uint32_t scale_half = (bits_of((most - least) / steps) + 0xFFFFU) >> 16;
  // Below, 1 / scale might be infinite: such a group is its least element.
  if (scale_half < 0x0080U)
    scale_half = 0;
  const float inverse = scale_half == 0 ? 0 : 1 / float_of_bits(scale_half << 16);
  const auto scale16 = static_cast<std::uint16_t>(scale_half);
  const auto least16 = static_cast<std::uint16_t>(least_half);
  std::memcpy(scale_to, &scale16, 2);
  std::memcpy(least_to, &least16, 2);
  std::uint8_t codes[group_size];
  for (std::size_t i = 0; i < group_size; ++i) {
    const float scaled = (from[i] - least) * inverse + 0.5F;
    codes[i] =
        static_cast<std::uint8_t>(static_cast<std::int32_t>(scaled < steps ? scaled : steps));
  }
  for (std::size_t i = 0; i < 32; ++i)
    to[i] = static_cast<std::byte>((codes[i] & 15) | codes[i + 32] << 4);
  if constexpr (bits == 6)
    for (std::size_t i = 0; i < 16; ++i)
      to[32 + i] = static_cast<std::byte>(codes[i] >> 4 | (codes[i + 16] >> 4) << 2 |
                                          (codes[i + 32] >> 4) << 4 | (codes[i + 48] >> 4) << 6);
}

template <unsigned bits>
CLEAVE_BODY void decode_group(const std::byte* scale_from, const std::byte* least_from,
                              const std::byte* from, float* __restrict to) {
  std::uint16_t scale_half = 0, least_half = 0;
  std::memcpy(&scale_half, scale_from, 2);
  std::memcpy(&least_half, least_from, 2);
  const float scale = float_of_bits(std::uint32_t{scale_half} << 16);
  const float least = float_of_bits(std::uint32_t{least_half} << 16);
  std::uint8_t codes[group_size];
  for (std::size_t i = 0; i < 32; ++i) {
    codes[i] = static_cast<std::uint8_t>(from[i]) & 15;
    codes[i + 32] = static_cast<std::uint8_t>(from[i]) >> 4;
  }
  if constexpr (bits == 6)
    for (std::size_t i = 0; i < 16; ++i) {
      const auto upper = static_cast<std::uint8_t>(from[32 + i]);
      codes[i] |= static_cast<std::uint8_t>((upper & 3) << 4);
      codes[i + 16] |= static_cast<std::uint8_t>((upper >> 2 & 3) << 4);
      codes[i + 32] |= static_cast<std::uint8_t>((upper >> 4 & 3) << 4);
      codes[i + 48] |= static_cast<std::uint8_t>((upper >> 6) << 4);
    }
  for (std::size_t i = 0; i < group_size; ++i) to[i] = least + static_cast<float>(codes[i]) * scale;
}

/// All groups of `count` floats: the scales, the least elements, then the numbers; a last group
/// that is not full is filled up with its first element.
template <unsigned bits>
CLEAVE_BODY void encode_groups(const float* from, std::size_t count, std::byte* to) {
  const std::size_t groups = (count + group_size - 1) / group_size;
  std::byte* const least = to + 2 * groups;
  std::byte* const numbers = least + 2 * groups;
  const std::size_t full = count / group_size;
  for (std::size_t g = 0; g < full; ++g)
    encode_group<bits>(from + g * group_size, to + 2 * g, least + 2 * g,
                       numbers + g * group_bytes<bits>);
  if (full == groups)
    return;
  float rest[group_size];
  for (std::size_t i = 0; i < group_size; ++i)
    rest[i] = from[full * group_size + (full * group_size + i < count ? i : 0)];
  encode_group<bits>(rest, to + 2 * full, least + 2 * full, numbers + full * group_bytes<bits>);
}

template <unsigned bits>
CLEAVE_BODY void decode_groups(const std::byte* from, std::size_t count, float* to) {
  const std::size_t groups = (count + group_size - 1) / group_size;
  const std::byte* const least = from + 2 * groups;
  const std::byte* const numbers = least + 2 * groups;
  const std::size_t full = count / group_size;
  for (std::size_t g = 0; g < full; ++g)
    decode_group<bits>(from + 2 * g, least + 2 * g, numbers + g * group_bytes<bits>,
                       to + g * group_size);
  if (full == groups)
    return;
  float rest[group_size];
  decode_group<bits>(from + 2 * full, least + 2 * full, numbers + full * group_bytes<bits>, rest);
  for (std::size_t i = 0; full * group_size + i < count; ++i) to[full * group_size + i] = rest[i];
}

/// Numbers of two bytes, as first their lower bytes, then the upper ones.
CLEAVE_BODY void split_bytes(const std::byte* from, std::size_t count, std::byte* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) {
    to[i] = from[2 * i];
    to[count + i] = from[2 * i + 1];
  }
}

CLEAVE_BODY void join_bytes(const std::byte* from, std::size_t count, std::byte* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) {
    to[2 * i] = from[i];
    to[2 * i + 1] = from[count + i];
  }
}

}  // namespace body

// What follows makes of each body two functions, and one that takes the better.
#if defined(__x86_64__)
#define CLEAVE_TARGET __attribute__((target("avx2,f16c")))
#define CLEAVE_TWICE(prefix, result, name, parameters, call) \
  namespace portable {                                       \
  prefix inline result name parameters {                     \
    return body::call;                                       \
  }                                                          \
  }                                                          \
  namespace avx2 {                                           \
  prefix CLEAVE_TARGET inline result name parameters {       \
    return body::call;                                       \
  }                                                          \
  }                                                          \
  prefix inline result name parameters {                     \
    return has_avx2() ? avx2::call : portable::call;         \
  }
#else
#define CLEAVE_TWICE(prefix, result, name, parameters, call) \
  namespace portable {                                       \
  prefix inline result name parameters {                     \
    return body::call;                                       \
  }                                                          \
  }                                                          \
  prefix inline result name parameters {                     \
    return portable::call;                                   \
  }
#endif

CLEAVE_TWICE(, void, to_bfloat, (const float* from, std::size_t count, std::byte* to),
             to_bfloat(from, count, to))
CLEAVE_TWICE(, void, from_bfloat, (const std::byte* from, std::size_t count, float* to),
             from_bfloat(from, count, to))
CLEAVE_TWICE(, std::int32_t, largest_magnitude, (const float* from, std::size_t count),
             largest_magnitude(from, count))
CLEAVE_TWICE(, void, widen_row, (const float* from, std::size_t count, float* least, float* most),
             widen_row(from, count, least, most))
CLEAVE_TWICE(, void, quantize_row,
             (const float* from, std::size_t count, const float* least, const float* inverse,
              std::byte* to),
             quantize_row(from, count, least, inverse, to))
CLEAVE_TWICE(, void, dequantize_row,
             (const std::byte* from, std::size_t count, const float* least, const float* scale,
              float* to),
             dequantize_row(from, count, least, scale, to))
CLEAVE_TWICE(template <unsigned bits>, void, encode_groups,
             (const float* from, std::size_t count, std::byte* to),
             encode_groups<bits>(from, count, to))
CLEAVE_TWICE(template <unsigned bits>, void, decode_groups,
             (const std::byte* from, std::size_t count, float* to),
             decode_groups<bits>(from, count, to))
CLEAVE_TWICE(, void, split_bytes, (const std::byte* from, std::size_t count, std::byte* to),
             split_bytes(from, count, to))
CLEAVE_TWICE(, void, join_bytes, (const std::byte* from, std::size_t count, std::byte* to),
             join_bytes(from, count, to))

#undef CLEAVE_TWICE
#undef CLEAVE_TARGET
#undef CLEAVE_BODY

inline bool all_finite(const float* from, std::size_t count) {
  return largest_magnitude(from, count) < 0x7F800000;
}

/// Elements first, first + 1, ... of rows of `size`: calls f(index of the first, its place in the
/// row, how many of that row).
template <class F>
void for_each_row(std::size_t first, std::size_t count, std::size_t size, F&& f) {
  std::size_t place = first % size;
  for (std::size_t i = 0; i < count;) {
    const std::size_t n = std::min(size - place, count - i);
    f(i, place, n);
    i += n;
    place = 0;
  }
}

/// Elements first, first + 1, ... in runs of `run` elements of a channel: calls f(index of the
/// first, the channel, how many of that run).
template <class F>
void for_each_run(std::size_t first, std::size_t count, std::size_t run, std::size_t channels,
                  F&& f) {
  std::size_t channel = first / run % channels;
  for_each_row(first, count, run, [&](std::size_t i, std::size_t, std::size_t n) {
    f(i, channel, n);
    channel = channel + 1 == channels ? 0 : channel + 1;
  });
}

}  // namespace cleave::inline v0::transport::kernels
