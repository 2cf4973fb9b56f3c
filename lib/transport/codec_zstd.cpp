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

void split(std::size_t width, std::span<const std::byte> from, std::byte* to) {
  if (width == 2)
    kernels::split_bytes<2>(from.data(), from.size() / 2, to);
  else if (width == 4)
    kernels::split_bytes<4>(from.data(), from.size() / 4, to);
  else
    kernels::split_bytes<8>(from.data(), from.size() / 8, to);
}

void join(std::size_t width, std::span<const std::byte> from, std::byte* to) {
  if (width == 2)
    kernels::join_bytes<2>(from.data(), from.size() / 2, to);
  else if (width == 4)
    kernels::join_bytes<4>(from.data(), from.size() / 4, to);
  else
    kernels::join_bytes<8>(from.data(), from.size() / 8, to);
}

// Of the numbers in an element: a complex one holds two.
std::size_t width_of(core::DType dtype) {
  const std::size_t size = core::size_of(dtype);
  return dtype == core::DType::complex64 || dtype == core::DType::complex128 ? size / 2 : size;
}

// The header is a byte that tells whether `inner` took the block, then the header of `inner`.
class Zstd final : public Codec {
 public:
  Zstd(const Codec& inner, std::size_t width, std::string name, int level)
      : inner_(inner), width_(width), name_(std::move(name)), level_(level) {}

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
    if (const std::size_t width = width_within(piece, taken); width > 1) {
      state.split.resize(plain.size());
      split(width, plain, state.split.data());
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
    const std::size_t width = width_within(piece, taken);
    if (taken && size % std::max<std::size_t>(width, 1) != 0)
      return fail(Errc::corrupt, "a compressed piece of broken numbers");
    std::span<std::byte> plain = elements;
    if (taken || width > 1) {
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
    if (width > 1) {
      if (!taken) {
        join(width, plain, elements.data());
        return {};
      }
      state.split.resize(size);
      join(width, plain, state.split.data());
      plain = state.split;
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
  [[nodiscard]] std::size_t width_within(const Piece& piece, bool taken) const {
    return taken ? width_ : width_of(piece.block.dtype);
  }

  const Codec& inner_;
  std::size_t width_;
  std::string name_;
  int level_;
};

}  // namespace

std::unique_ptr<const Codec> make_zstd(const Codec& inner, std::size_t width, std::string name,
                                       int level) {
  return std::make_unique<Zstd>(inner, width, std::move(name), level);
}

}  // namespace cleave::inline v0::transport
