// What another codec makes, compressed by zstd, each piece a frame of its own: so a piece is
// decoded when it is there, a codec needs no state, and a damaged piece is found at once.
#include "lib/transport/codecs.hpp"
#include "lib/transport/vector_kernels.hpp"

#include <zstd.h>

#include <algorithm>
#include <new>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;

// Of one encoder or decoder.
struct State {
  std::unique_ptr<ZSTD_CCtx, std::size_t (*)(ZSTD_CCtx*)> compressor{nullptr, &ZSTD_freeCCtx};
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> decompressor{nullptr, &ZSTD_freeDCtx};
  std::vector<std::byte> plain, split;
  Workspace inner;
};

State& state_of(Workspace& workspace) {
  if (!workspace.state)
    workspace.state = std::make_shared<State>();
  return *static_cast<State*>(workspace.state.get());
}

// The header is a byte that tells whether `inner` took the block, then the header of `inner`.
class Zstd final : public Codec {
 public:
  Zstd(const Codec& inner, bool halves, std::string name, int level)
      : inner_(inner), halves_(halves), name_(std::move(name)), level_(level) {}

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] bool lossless() const override { return inner_.lossless(); }
  [[nodiscard]] std::size_t header_size(const BlockShape& block) const override {
    return 1 + inner_.header_size(block);
  }
  [[nodiscard]] bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                             std::span<std::byte> header) const override {
    if (elements.size() < fewest_bytes)
      return false;
    header[0] = std::byte{inner_.prepare(block, elements, header.subspan(1))};
    if (header[0] == std::byte{0})
      std::fill(header.begin(), header.end(), std::byte{0});
    return true;
  }
  [[nodiscard]] std::size_t bound(const BlockShape& block, std::size_t count) const override {
    const std::size_t plain = count * core::size_of(block.dtype);
    return ZSTD_compressBound(std::max(plain, inner_.bound(block, count)));
  }
  [[nodiscard]] std::size_t encode(const Piece& piece, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace& workspace) const override {
    State& state = state_of(workspace);
    const bool taken = piece.header[0] != std::byte{0};
    std::span<const std::byte> plain = elements;
    if (taken) {
      state.plain.resize(inner_.bound(piece.block, count_of(piece, elements)));
      state.plain.resize(
          inner_.encode(inside(piece), elements, std::span(state.plain), state.inner));
      plain = state.plain;
    }
    if (splits(piece, taken)) {
      state.split.resize(plain.size());
      kernels::split_bytes(plain.data(), plain.size() / 2, state.split.data());
      plain = state.split;
    }
    if (!state.compressor)
      state.compressor.reset(ZSTD_createCCtx());
    if (!state.compressor)
      throw std::bad_alloc();
    const std::size_t size = ZSTD_compressCCtx(state.compressor.get(), to.data(), to.size(),
                                               plain.data(), plain.size(), level_);
    // The room is enough for anything, so only memory can be lacking.
    if (ZSTD_isError(size) != 0)
      throw std::bad_alloc();
    return size;
  }
  [[nodiscard]] Result<void> decode(const Piece& piece, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements,
                                    Workspace& workspace) const override {
    State& state = state_of(workspace);
    const bool taken = piece.header[0] != std::byte{0};
    const std::size_t size =
        taken ? inner_.bound(piece.block, count_of(piece, elements)) : elements.size();
    const bool split = splits(piece, taken);
    std::span<std::byte> plain = elements;
    if (taken || split) {
      state.plain.resize(size);
      plain = state.plain;
    }
    if (!state.decompressor)
      state.decompressor.reset(ZSTD_createDCtx());
    if (!state.decompressor)
      throw std::bad_alloc();
    const std::size_t given = ZSTD_decompressDCtx(state.decompressor.get(), plain.data(),
                                                  plain.size(), encoded.data(), encoded.size());
    if (ZSTD_isError(given) != 0)
      return fail(Errc::corrupt,
                  "a compressed piece is damaged: " + std::string(ZSTD_getErrorName(given)));
    if (given != size)
      return fail(Errc::corrupt, "a compressed piece of the wrong length");
    if (split) {
      if (taken)
        state.split.resize(size);
      const std::span<std::byte> joined = taken ? std::span(state.split) : elements;
      kernels::join_bytes(plain.data(), size / 2, joined.data());
      plain = joined;
    }
    return taken ? inner_.decode(inside(piece), plain, elements, state.inner) : Result<void>();
  }

 private:
  // A frame alone takes 9 bytes and more.
  static constexpr std::size_t fewest_bytes = 64;

  static std::size_t count_of(const Piece& piece, std::span<const std::byte> elements) {
    return elements.size() / core::size_of(piece.block.dtype);
  }
  static Piece inside(const Piece& piece) {
    return {piece.block, piece.header.subspan(1), piece.first};
  }
  // Whether what is compressed are numbers of two bytes: their upper bytes, signs and exponents,
  // are alike, and compress better without the lower ones between. Of wider numbers most bytes are
  // noise or zeros, and tensors of many zeros get longer by it.
  [[nodiscard]] bool splits(const Piece& piece, bool taken) const {
    return taken ? halves_ : core::size_of(piece.block.dtype) == 2;
  }

  const Codec& inner_;
  bool halves_;
  std::string name_;
  int level_;
};

}  // namespace

std::unique_ptr<const Codec> make_zstd(const Codec& inner, bool halves, std::string name,
                                       int level) {
  return std::make_unique<Zstd>(inner, halves, std::move(name), level);
}

}  // namespace cleave::inline v0::transport
