// What the tests of codecs and of encoded values share.
#pragma once

#include <cleave/transport/codec.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace cleave::test {

using core::DType;
using core::Tensor;
using core::Value;

inline const transport::Codec& codec(std::string_view name) {
  return **transport::find_codec(name);
}

inline std::vector<std::byte> encoded(const core::Values& values, std::string_view name = "raw") {
  std::vector<std::byte> bytes;
  const auto done = transport::encode_values(values, codec(name), bytes);
  EXPECT_TRUE(done) << done.error().message();
  return bytes;
}

inline core::Values through(const core::Values& values, std::string_view name = "raw") {
  const auto decoded = transport::decode_values(encoded(values, name));
  EXPECT_TRUE(decoded) << decoded.error().message();
  return decoded.value_or(core::Values{});
}

inline Tensor floats(std::vector<std::int64_t> sizes, std::uint64_t seed = 1, float scale = 1) {
  Tensor tensor = core::empty_tensor(DType::float32, std::move(sizes));
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(0, scale);
  for (std::size_t i = 0; i < tensor.numel(); ++i) tensor.data_as<float>()[i] = normal(random);
  return tensor;
}

inline Tensor view(const Tensor& of, std::vector<std::int64_t> sizes,
                   std::vector<std::int64_t> strides, std::size_t offset_elements) {
  auto made = core::make_tensor(of.dtype, std::move(sizes), std::move(strides),
                                offset_elements * core::size_of(of.dtype), of.storage);
  EXPECT_TRUE(made);
  return *made;
}

// By value, whatever the strides.
inline bool same_elements(const Tensor& a, const Tensor& b) {
  if (a.dtype != b.dtype || a.sizes != b.sizes)
    return false;
  const Tensor x = core::contiguous_copy(a), y = core::contiguous_copy(b);
  return x.numel() == 0 || std::memcmp(x.data(), y.data(), x.nbytes()) == 0;
}

inline std::vector<float> elements(const Tensor& tensor) {
  const Tensor copy = core::contiguous_copy(tensor);
  return {copy.data_as<float>(), copy.data_as<float>() + copy.numel()};
}

}  // namespace cleave::test
