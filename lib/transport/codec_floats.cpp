// The codecs without a range: raw, fp16 and bf16.
#include "lib/transport/codec_kernels.hpp"
#include "lib/transport/codecs.hpp"
#include "lib/transport/vector_kernels.hpp"

#include <algorithm>

namespace cleave::inline v0::transport {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

class Raw final : public Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "raw"; }
  [[nodiscard]] bool lossless() const override { return true; }
  // Blocks that no codec takes are sent as they are, which is all that "raw" means: the others
  // below are never called.
  [[nodiscard]] bool prepare(const BlockShape&, std::span<const std::byte>,
                             std::span<std::byte>) const override {
    return false;
  }
  [[nodiscard]] std::size_t bound(const BlockShape& block, std::size_t count) const override {
    return count * core::size_of(block.dtype);
  }
  [[nodiscard]] std::size_t encode(const Piece&, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace&) const override {
    std::copy(elements.begin(), elements.end(), to.begin());
    return elements.size();
  }
  [[nodiscard]] Result<void> decode(const Piece&, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements, Workspace&) const override {
    if (encoded.size() != elements.size())
      return fail(Errc::corrupt, "a raw piece of the wrong length");
    std::copy(encoded.begin(), encoded.end(), elements.begin());
    return {};
  }
};

// Two bytes for each float32.
class Half final : public Codec {
 public:
  using To = void (*)(const float*, std::size_t, std::byte*);
  using From = void (*)(const std::byte*, std::size_t, float*);
  Half(std::string_view name, To to, From from) : name_(name), to_(to), from_(from) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                             std::span<std::byte>) const override {
    return !elements.empty() && holds_floats(block, elements);
  }
  [[nodiscard]] std::size_t bound(const BlockShape&, std::size_t count) const override {
    return 2 * count;
  }
  [[nodiscard]] std::size_t encode(const Piece&, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    to_(floats_of(elements), count, to.data());
    return 2 * count;
  }
  [[nodiscard]] Result<void> decode(const Piece& piece, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (piece.block.dtype != DType::float32 || encoded.size() != 2 * count)
      return fail(Errc::corrupt, "a piece of 16-bit numbers of the wrong type or length");
    from_(encoded.data(), count, floats_of(elements));
    return {};
  }

 private:
  std::string_view name_;
  To to_;
  From from_;
};

}  // namespace

std::unique_ptr<const Codec> make_raw() {
  return std::make_unique<Raw>();
}

std::unique_ptr<const Codec> make_fp16() {
  return std::make_unique<Half>("fp16", &kernels::to_half, &kernels::from_half);
}

std::unique_ptr<const Codec> make_bf16() {
  return std::make_unique<Half>("bf16", &kernels::to_bfloat, &kernels::from_bfloat);
}

}  // namespace cleave::inline v0::transport
