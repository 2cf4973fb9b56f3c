#include "lib/transport/codec_kernels.hpp"

#include <cleave/transport/codec.hpp>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

namespace cleave::inline v0::transport {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

// Floats at an address that need not be aligned for them: storages are, offsets of hostile or
// unusual views might not be.
bool aligned(const std::byte* bytes) {
  return reinterpret_cast<std::uintptr_t>(bytes) % alignof(float) == 0;
}

class Raw final : public Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "raw"; }
  [[nodiscard]] bool lossless() const override { return true; }
  [[nodiscard]] std::optional<std::size_t> encoded_size(DType dtype,
                                                        std::size_t elements) const override {
    return elements * core::size_of(dtype);
  }
  // Blocks that no codec takes are sent as they are, which is all that "raw" means.
  [[nodiscard]] bool encode(DType, std::span<const std::byte>,
                            std::vector<std::byte>&) const override {
    return false;
  }
  [[nodiscard]] Result<void> decode(DType, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements) const override {
    if (encoded.size() != elements.size())
      return fail(Errc::corrupt, "a raw block of the wrong length");
    if (!encoded.empty())
      std::memcpy(elements.data(), encoded.data(), encoded.size());
    return {};
  }
};

class Fp16 final : public Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "fp16"; }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] std::optional<std::size_t> encoded_size(DType dtype,
                                                        std::size_t elements) const override {
    return elements * (dtype == DType::float32 ? 2 : core::size_of(dtype));
  }
  [[nodiscard]] bool encode(DType dtype, std::span<const std::byte> elements,
                            std::vector<std::byte>& out) const override {
    if (dtype != DType::float32 || elements.empty() || !aligned(elements.data()))
      return false;
    const std::size_t count = elements.size() / sizeof(float);
    const std::size_t start = out.size();
    out.resize(start + 2 * count);
    kernels::to_half(reinterpret_cast<const float*>(elements.data()), count, out.data() + start);
    return true;
  }
  [[nodiscard]] Result<void> decode(DType dtype, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (dtype != DType::float32 || encoded.size() != 2 * count)
      return fail(Errc::corrupt, "an fp16 block of the wrong type or length");
    kernels::from_half(encoded.data(), count, reinterpret_cast<float*>(elements.data()));
    return {};
  }
};

// Equal steps from the smallest to the largest element, 2^bits levels.
template <unsigned bits>
class Uniform final : public Codec {
 public:
  static_assert(bits == 2 || bits == 4 || bits == 8);
  [[nodiscard]] std::string_view name() const override {
    return bits == 8 ? "int8" : bits == 4 ? "int4" : "int2";
  }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] std::optional<std::size_t> encoded_size(DType dtype,
                                                        std::size_t elements) const override {
    return dtype == DType::float32 ? header + bytes_for(elements) : elements * core::size_of(dtype);
  }
  [[nodiscard]] bool encode(DType dtype, std::span<const std::byte> elements,
                            std::vector<std::byte>& out) const override {
    if (dtype != DType::float32 || elements.empty() || !aligned(elements.data()))
      return false;
    const std::size_t count = elements.size() / sizeof(float);
    const auto* values = reinterpret_cast<const float*>(elements.data());
    const kernels::Range range = kernels::range_of(values, count);
    if (!range.finite)
      return false;
    const float width = range.most - range.least;
    const float scale = width / steps;
    const float inverse = width == 0 ? 0.0F : steps / width;
    if (!std::isfinite(width) || !std::isfinite(inverse) ||
        (width != 0 && scale < std::numeric_limits<float>::min()))
      return false;
    const std::size_t start = out.size();
    out.resize(start + header + bytes_for(count));
    std::memcpy(out.data() + start, &range.least, sizeof(float));
    std::memcpy(out.data() + start + sizeof(float), &scale, sizeof(float));
    std::byte* const to = out.data() + start + header;
    if constexpr (bits == 8)
      kernels::quantize(values, count, range.least, inverse, to);
    else
      kernels::quantize_packed<bits>(values, count, range.least, inverse, to);
    return true;
  }
  [[nodiscard]] Result<void> decode(DType dtype, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (dtype != DType::float32 || encoded.size() != header + bytes_for(count))
      return fail(Errc::corrupt, "a quantised block of the wrong type or length");
    float least = 0, scale = 0;
    std::memcpy(&least, encoded.data(), sizeof least);
    std::memcpy(&scale, encoded.data() + sizeof least, sizeof scale);
    if (!std::isfinite(least) || !std::isfinite(scale))
      return fail(Errc::corrupt, "a quantised block whose scale is no number");
    auto* const to = reinterpret_cast<float*>(elements.data());
    if constexpr (bits == 8)
      kernels::dequantize(encoded.data() + header, count, least, scale, to);
    else
      kernels::dequantize_packed<bits>(encoded.data() + header, count, least, scale, to);
    return {};
  }

 private:
  static constexpr std::size_t header = 2 * sizeof(float);
  static constexpr float steps = (1U << bits) - 1;
  static constexpr std::size_t per_byte = 8 / bits;
  static constexpr std::size_t bytes_for(std::size_t elements) {
    return elements / per_byte + (elements % per_byte != 0 ? 1 : 0);
  }
};

const Raw raw;
const Fp16 fp16;
const Uniform<8> int8;
const Uniform<4> int4;
const Uniform<2> int2;
constexpr std::array<std::string_view, 5> names{"raw", "fp16", "int8", "int4", "int2"};

}  // namespace

Codec::~Codec() = default;

std::span<const std::string_view> codec_names() {
  return names;
}

Result<const Codec*> find_codec(std::string_view name) {
  for (const Codec* codec : {static_cast<const Codec*>(&raw), static_cast<const Codec*>(&fp16),
                             static_cast<const Codec*>(&int8), static_cast<const Codec*>(&int4),
                             static_cast<const Codec*>(&int2)})
    if (codec->name() == name)
      return codec;
  return fail(Errc::not_found, "no such codec", std::string(name.substr(0, 64)),
              "there are raw, fp16, int8, int4 and int2");
}

}  // namespace cleave::inline v0::transport
