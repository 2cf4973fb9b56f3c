// The codecs that come with cleave, one function a family; find_codec() joins them to names.
#pragma once

#include <cleave/transport/codec.hpp>

#include <memory>
#include <string>

namespace cleave::inline v0::transport {

std::unique_ptr<const Codec> make_raw();
std::unique_ptr<const Codec> make_fp16();
std::unique_ptr<const Codec> make_bf16();
// `bits` is 8, 4 or 2.
std::unique_ptr<const Codec> make_uniform(unsigned bits);
std::unique_ptr<const Codec> make_per_channel();
// `bits` is 6 or 4.
std::unique_ptr<const Codec> make_grouped(unsigned bits);

inline constexpr int least_zstd_level = -7, most_zstd_level = 19;
// What `inner` makes, compressed; `halves`: numbers of two bytes. `inner` outlives it, and its
// encode() always fills bound().
std::unique_ptr<const Codec> make_zstd(const Codec& inner, bool halves, std::string name,
                                       int level);

// Whether `bytes` is where floats may be read: storages are aligned, offsets of hostile or unusual
// views might not be.
inline bool holds_floats(const BlockShape& block, std::span<const std::byte> bytes) {
  return block.dtype == core::DType::float32 &&
         reinterpret_cast<std::uintptr_t>(bytes.data()) % alignof(float) == 0;
}
inline const float* floats_of(std::span<const std::byte> bytes) {
  return reinterpret_cast<const float*>(bytes.data());
}
inline float* floats_of(std::span<std::byte> bytes) {
  return reinterpret_cast<float*>(bytes.data());
}

}  // namespace cleave::inline v0::transport
