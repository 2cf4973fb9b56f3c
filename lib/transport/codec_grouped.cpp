// The codecs with a range for every 64 elements: q6 and q4.
#include "lib/transport/codecs.hpp"
#include "lib/transport/vector_kernels.hpp"

namespace cleave::inline v0::transport {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

template <unsigned bits>
class Grouped final : public Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return bits == 6 ? "q6" : "q4"; }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                             std::span<std::byte>) const override {
    return holds_floats(block, elements) && bound(block, block.elements) < elements.size() &&
           kernels::largest_magnitude(floats_of(elements), block.elements) < too_large;
  }
  [[nodiscard]] std::size_t bound(const BlockShape&, std::size_t count) const override {
    const std::size_t groups =
        count / kernels::group_size + (count % kernels::group_size != 0 ? 1 : 0);
    return groups * (2 * sizeof(std::uint16_t) + kernels::group_bytes<bits>);
  }
  [[nodiscard]] std::size_t encode(const Piece& piece, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    kernels::encode_groups<bits>(floats_of(elements), count, to.data());
    return bound(piece.block, count);
  }
  [[nodiscard]] Result<void> decode(const Piece& piece, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (piece.block.dtype != DType::float32 || encoded.size() != bound(piece.block, count))
      return fail(Errc::corrupt, "a piece of groups of the wrong type or length");
    kernels::decode_groups<bits>(encoded.data(), count, floats_of(elements));
    return {};
  }

 private:
  // 2^126: a range of larger numbers might overflow.
  static constexpr std::int32_t too_large = 0x7E800000;
};

}  // namespace

std::unique_ptr<const Codec> make_grouped(unsigned bits) {
  if (bits == 6)
    return std::make_unique<Grouped<6>>();
  return std::make_unique<Grouped<4>>();
}

}  // namespace cleave::inline v0::transport
