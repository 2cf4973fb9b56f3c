// The loops of the lossy codecs: plain C++, and AVX2/F16C where the machine has it. Both give the
// same bits; tests compare them, so they are inline and reachable from there.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#define CLEAVE_X86 1
#endif

namespace cleave::inline v0::transport::kernels {

inline constexpr float largest_half = 65504.0F;

/// IEEE 754 binary16 by round to nearest even, as VCVTPS2PH does it, but finite numbers saturate.
inline std::uint16_t half_of(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U)  // NaN: quiet, upper payload kept
    return static_cast<std::uint16_t>(sign | 0x7E00U | ((magnitude >> 13) & 0x1FFU));
  if (magnitude == 0x7F800000U)
    return sign | 0x7C00U;
  if (magnitude >= std::bit_cast<std::uint32_t>(largest_half))
    return sign | 0x7BFFU;
  if (magnitude < 0x38800000U) {  // below 2^-14: a multiple of 2^-24; the addition rounds
    const float sum = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - 0x3F000000U));
  }
  const std::uint32_t odd = (magnitude >> 13) & 1U;
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000U + 0xFFFU + odd) >> 13));
}

inline float float_of(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1FU;
  const std::uint32_t mantissa = half & 0x3FFU;
  if (exponent == 0x1FU) {
    const std::uint32_t quiet = mantissa != 0 ? 0x00400000U : 0U;
    return std::bit_cast<float>(sign | 0x7F800000U | quiet | (mantissa << 13));
  }
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
}

/// Smallest and largest of the values; `finite` is false if one is a NaN or an infinity, and then
/// the other two mean nothing.
struct Range {
  float least = 0, most = 0;
  bool finite = true;
};

/// q = min(most, trunc((x - least) * inverse + 0.5)).
inline std::uint8_t quantized(float x, float least, float inverse, float most) {
  const float scaled = (x - least) * inverse + 0.5F;
  return static_cast<std::uint8_t>(scaled < most ? scaled : most);
}

namespace portable {

inline void to_half(const float* from, std::size_t count, std::byte* to) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t half = half_of(from[i]);
    std::memcpy(to + 2 * i, &half, 2);
  }
}

inline void from_half(const std::byte* from, std::size_t count, float* to) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t half = 0;
    std::memcpy(&half, from + 2 * i, 2);
    to[i] = float_of(half);
  }
}

/// `count` is at least 1.
inline Range range_of(const float* from, std::size_t count) {
  Range range{from[0], from[0], true};
  bool finite = true;
  for (std::size_t i = 0; i < count; ++i) {
    finite = finite && (std::bit_cast<std::uint32_t>(from[i]) & 0x7F800000U) != 0x7F800000U;
    range.least = from[i] < range.least ? from[i] : range.least;
    range.most = from[i] > range.most ? from[i] : range.most;
  }
  range.finite = finite;
  return range;
}

inline void quantize(const float* from, std::size_t count, float least, float inverse,
                     std::byte* to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = static_cast<std::byte>(quantized(from[i], least, inverse, 255));
}

/// 8 / bits values a byte, the first in the lowest bits; what is left over in the last byte is 0.
template <unsigned bits>
void quantize_packed(const float* from, std::size_t count, float least, float inverse,
                     std::byte* to) {
  constexpr std::size_t per_byte = 8 / bits;
  for (std::size_t i = 0; i < count; i += per_byte) {
    unsigned packed = 0;
    for (std::size_t k = 0; k < std::min(per_byte, count - i); ++k)
      packed |= static_cast<unsigned>(quantized(from[i + k], least, inverse, (1U << bits) - 1))
                << (bits * k);
    to[i / per_byte] = static_cast<std::byte>(packed);
  }
}

inline void dequantize(const std::byte* from, std::size_t count, float least, float scale,
                       float* to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = least + static_cast<float>(static_cast<std::uint8_t>(from[i])) * scale;
}

template <unsigned bits>
void dequantize_packed(const std::byte* from, std::size_t count, float least, float scale,
                       float* to) {
  constexpr std::size_t per_byte = 8 / bits;
  for (std::size_t i = 0; i < count; ++i) {
    const auto packed = static_cast<unsigned>(from[i / per_byte]);
    const unsigned value = (packed >> (bits * (i % per_byte))) & ((1U << bits) - 1);
    to[i] = least + static_cast<float>(value) * scale;
  }
}

}  // namespace portable

#ifdef CLEAVE_X86

// Clang 14's __builtin_cpu_supports() does not know "f16c": leaf 1 tells, in bit 29 of ECX.
inline bool has_avx2() {
  static const bool has = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    return __builtin_cpu_supports("avx2") && __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 &&
           (ecx & (1U << 29)) != 0;
  }();
  return has;
}

// Without fma: a fused multiply-add would round otherwise than the portable loops.
#define CLEAVE_AVX2 __attribute__((target("avx2,f16c")))

namespace avx2 {

CLEAVE_AVX2 inline void to_half(const float* from, std::size_t count, std::byte* to) {
  const __m256 most = _mm256_set1_ps(largest_half);
  const __m256 magnitude_mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const __m256 infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000));
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 x = _mm256_loadu_ps(from + i);
    const __m256 finite = _mm256_cmp_ps(_mm256_and_ps(x, magnitude_mask), infinity, _CMP_LT_OQ);
    const __m256 clamped =
        _mm256_max_ps(_mm256_min_ps(x, most), _mm256_sub_ps(_mm256_setzero_ps(), most));
    const __m128i half =
        _mm256_cvtps_ph(_mm256_blendv_ps(x, clamped, finite), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * i), half);
  }
  portable::to_half(from + i, count - i, to + 2 * i);
}

CLEAVE_AVX2 inline void from_half(const std::byte* from, std::size_t count, float* to) {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(
        to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from + 2 * i))));
  portable::from_half(from + 2 * i, count - i, to + i);
}

CLEAVE_AVX2 inline Range range_of(const float* from, std::size_t count) {
  if (count < 8)
    return portable::range_of(from, count);
  const __m256 magnitude_mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const __m256 infinity = _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000));
  __m256 least = _mm256_loadu_ps(from);
  __m256 most = least;
  __m256 finite = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 x = _mm256_loadu_ps(from + i);
    finite = _mm256_and_ps(finite,
                           _mm256_cmp_ps(_mm256_and_ps(x, magnitude_mask), infinity, _CMP_LT_OQ));
    least = _mm256_min_ps(x, least);
    most = _mm256_max_ps(x, most);
  }
  float least_of[8], most_of[8];
  _mm256_storeu_ps(least_of, least);
  _mm256_storeu_ps(most_of, most);
  Range range = portable::range_of(least_of, 8);
  const Range upper = portable::range_of(most_of, 8);
  range.most = upper.most;
  range.finite = _mm256_movemask_ps(finite) == 0xFF;
  if (i < count) {
    const Range rest = portable::range_of(from + i, count - i);
    range.least = rest.least < range.least ? rest.least : range.least;
    range.most = rest.most > range.most ? rest.most : range.most;
    range.finite = range.finite && rest.finite;
  }
  return range;
}

// Eight values to 32-bit integers from 0 to `most`.
CLEAVE_AVX2 inline __m256i quantized(const float* from, __m256 least, __m256 inverse, __m256 most) {
  const __m256 scaled = _mm256_add_ps(
      _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(from), least), inverse), _mm256_set1_ps(0.5F));
  return _mm256_cvttps_epi32(_mm256_min_ps(scaled, most));
}

// Their low 16 bits, in order.
CLEAVE_AVX2 inline __m128i words_of(__m256i wide) {
  return _mm_packus_epi32(_mm256_castsi256_si128(wide), _mm256_extracti128_si256(wide, 1));
}

CLEAVE_AVX2 inline void quantize(const float* from, std::size_t count, float least, float inverse,
                                 std::byte* to) {
  const __m256 offset = _mm256_set1_ps(least);
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256 most = _mm256_set1_ps(255.0F);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i words = words_of(quantized(from + i, offset, factor, most));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to + i), _mm_packus_epi16(words, words));
  }
  portable::quantize(from + i, count - i, least, inverse, to + i);
}

template <unsigned bits>
CLEAVE_AVX2 void quantize_packed(const float* from, std::size_t count, float least, float inverse,
                                 std::byte* to) {
  constexpr std::size_t per_byte = 8 / bits;
  const __m256 offset = _mm256_set1_ps(least);
  const __m256 factor = _mm256_set1_ps(inverse);
  const __m256 most = _mm256_set1_ps((1U << bits) - 1);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i bytes = _mm_packus_epi16(words_of(quantized(from + i, offset, factor, most)),
                                           words_of(quantized(from + i + 8, offset, factor, most)));
    // Of each pair, the second times 2^bits.
    const __m128i pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x0001 | 0x0100 << bits));
    auto* const out = to + i / per_byte;
    if constexpr (bits == 4) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packus_epi16(pairs, pairs));
    } else {
      static_assert(bits == 2);
      const __m128i fours = _mm_madd_epi16(pairs, _mm_set1_epi32(0x00100001));
      const __m128i words = _mm_packus_epi32(fours, fours);
      _mm_storeu_si32(out, _mm_packus_epi16(words, words));
    }
  }
  portable::quantize_packed<bits>(from + i, count - i, least, inverse, to + i / per_byte);
}

CLEAVE_AVX2 inline void dequantize_eight(__m128i bytes, __m256 least, __m256 scale, float* to) {
  const __m256 values = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  _mm256_storeu_ps(to, _mm256_add_ps(least, _mm256_mul_ps(values, scale)));
}

CLEAVE_AVX2 inline void dequantize(const std::byte* from, std::size_t count, float least,
                                   float scale, float* to) {
  const __m256 offset = _mm256_set1_ps(least);
  const __m256 factor = _mm256_set1_ps(scale);
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8)
    dequantize_eight(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from + i)), offset, factor,
                     to + i);
  portable::dequantize(from + i, count - i, least, scale, to + i);
}

// Sixteen values, one a byte.
template <unsigned bits>
CLEAVE_AVX2 __m128i unpacked(const std::byte* from) {
  if constexpr (bits == 4) {
    const __m128i pairs = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
    const __m128i lower = _mm_set1_epi8(15);
    return _mm_unpacklo_epi8(_mm_and_si128(pairs, lower),
                             _mm_and_si128(_mm_srli_epi16(pairs, 4), lower));
  } else {
    static_assert(bits == 2);
    const __m128i fours = _mm_cvtepu8_epi32(_mm_loadu_si32(from));
    const __m128i spread =
        _mm_or_si128(_mm_or_si128(fours, _mm_slli_epi32(fours, 6)),
                     _mm_or_si128(_mm_slli_epi32(fours, 12), _mm_slli_epi32(fours, 18)));
    return _mm_and_si128(spread, _mm_set1_epi8(3));
  }
}

template <unsigned bits>
CLEAVE_AVX2 void dequantize_packed(const std::byte* from, std::size_t count, float least,
                                   float scale, float* to) {
  constexpr std::size_t per_byte = 8 / bits;
  const __m256 offset = _mm256_set1_ps(least);
  const __m256 factor = _mm256_set1_ps(scale);
  std::size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m128i bytes = unpacked<bits>(from + i / per_byte);
    dequantize_eight(bytes, offset, factor, to + i);
    dequantize_eight(_mm_srli_si128(bytes, 8), offset, factor, to + i + 8);
  }
  portable::dequantize_packed<bits>(from + i / per_byte, count - i, least, scale, to + i);
}

}  // namespace avx2

#undef CLEAVE_AVX2
#define CLEAVE_DISPATCH(call) (has_avx2() ? avx2::call : portable::call)
#else
#define CLEAVE_DISPATCH(call) (portable::call)
#endif

inline void to_half(const float* from, std::size_t count, std::byte* to) {
  CLEAVE_DISPATCH(to_half(from, count, to));
}
inline void from_half(const std::byte* from, std::size_t count, float* to) {
  CLEAVE_DISPATCH(from_half(from, count, to));
}
inline Range range_of(const float* from, std::size_t count) {
  return CLEAVE_DISPATCH(range_of(from, count));
}
inline void quantize(const float* from, std::size_t count, float least, float inverse,
                     std::byte* to) {
  CLEAVE_DISPATCH(quantize(from, count, least, inverse, to));
}
template <unsigned bits>
void quantize_packed(const float* from, std::size_t count, float least, float inverse,
                     std::byte* to) {
  CLEAVE_DISPATCH(quantize_packed<bits>(from, count, least, inverse, to));
}
inline void dequantize(const std::byte* from, std::size_t count, float least, float scale,
                       float* to) {
  CLEAVE_DISPATCH(dequantize(from, count, least, scale, to));
}
template <unsigned bits>
void dequantize_packed(const std::byte* from, std::size_t count, float least, float scale,
                       float* to) {
  CLEAVE_DISPATCH(dequantize_packed<bits>(from, count, least, scale, to));
}

#undef CLEAVE_DISPATCH

}  // namespace cleave::inline v0::transport::kernels
