// The codecs with equal steps from the smallest to the largest element: int8, int4, int2 over a
// block, int8c over each of its channels.
#include "lib/transport/codec_kernels.hpp"
#include "lib/transport/codecs.hpp"
#include "lib/transport/vector_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

namespace cleave::inline v0::transport {
namespace {

using core::DType;
using core::Errc;
using core::fail;
using core::Result;

// x' = least + q * scale.
struct Scale {
  float least = 0, scale = 0;

  [[nodiscard]] float inverse() const { return scale == 0 ? 0 : 1 / scale; }
  [[nodiscard]] bool valid() const { return std::isfinite(least) && std::isfinite(scale); }
};
static_assert(sizeof(Scale) == 8);

// Nothing for a range that 32-bit arithmetic does not carry.
std::optional<Scale> scale_of(float least, float most, float steps) {
  const float width = most - least;
  const Scale result{least, width / steps};
  if (!std::isfinite(width) || (width != 0 && result.scale < std::numeric_limits<float>::min()))
    return std::nullopt;
  return result;
}

template <unsigned bits>
class Uniform final : public Codec {
 public:
  static_assert(bits == 2 || bits == 4 || bits == 8);
  [[nodiscard]] std::string_view name() const override {
    return bits == 8 ? "int8" : bits == 4 ? "int4" : "int2";
  }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] std::size_t header_size(const BlockShape&) const override { return sizeof(Scale); }
  [[nodiscard]] bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                             std::span<std::byte> header) const override {
    if (!holds_floats(block, elements) ||
        sizeof(Scale) + bound(block, block.elements) >= elements.size())
      return false;
    const kernels::Range range = kernels::range_of(floats_of(elements), block.elements);
    const auto scale = range.finite ? scale_of(range.least, range.most, steps) : std::nullopt;
    if (!scale)
      return false;
    std::memcpy(header.data(), &*scale, sizeof *scale);
    return true;
  }
  [[nodiscard]] std::size_t bound(const BlockShape&, std::size_t count) const override {
    return count / per_byte + (count % per_byte != 0 ? 1 : 0);
  }
  [[nodiscard]] std::size_t encode(const Piece& piece, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    const Scale scale = read(piece);
    if constexpr (bits == 8)
      kernels::quantize(floats_of(elements), count, scale.least, scale.inverse(), to.data());
    else
      kernels::quantize_packed<bits>(floats_of(elements), count, scale.least, scale.inverse(),
                                     to.data());
    return bound(piece.block, count);
  }
  [[nodiscard]] Result<void> decode(const Piece& piece, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements, Workspace&) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (piece.block.dtype != DType::float32 || encoded.size() != bound(piece.block, count))
      return fail(Errc::corrupt, "a quantised piece of the wrong type or length");
    const Scale scale = read(piece);
    if (!scale.valid())
      return fail(Errc::corrupt, "a quantised block whose scale is no number");
    if constexpr (bits == 8)
      kernels::dequantize(encoded.data(), count, scale.least, scale.scale, floats_of(elements));
    else
      kernels::dequantize_packed<bits>(encoded.data(), count, scale.least, scale.scale,
                                       floats_of(elements));
    return {};
  }

 private:
  static constexpr float steps = (1U << bits) - 1;
  static constexpr std::size_t per_byte = 8 / bits;

  static Scale read(const Piece& piece) {
    Scale scale;
    std::memcpy(&scale, piece.header.data(), sizeof scale);
    return scale;
  }
};

// The header holds the smallest elements of all channels, then their scales.
class PerChannel final : public Codec {
 public:
  [[nodiscard]] std::string_view name() const override { return "int8c"; }
  [[nodiscard]] bool lossless() const override { return false; }
  [[nodiscard]] std::size_t header_size(const BlockShape& block) const override {
    return channels_of(block).channels * sizeof(Scale);
  }
  [[nodiscard]] bool prepare(const BlockShape& block, std::span<const std::byte> elements,
                             std::span<std::byte> header) const override {
    if (!holds_floats(block, elements) || header.size() + block.elements >= elements.size() ||
        !kernels::all_finite(floats_of(elements), block.elements))
      return false;
    const Channels channels = channels_of(block);
    std::vector<float> least(channels.channels), most(channels.channels);
    ranges(channels, floats_of(elements), block.elements, least, most);
    for (std::size_t c = 0; c < channels.channels; ++c) {
      const auto scale = scale_of(least[c], most[c], steps);
      if (!scale)
        return false;
      std::memcpy(header.data() + c * sizeof(float), &scale->least, sizeof(float));
      std::memcpy(header.data() + (channels.channels + c) * sizeof(float), &scale->scale,
                  sizeof(float));
    }
    return true;
  }
  [[nodiscard]] std::size_t bound(const BlockShape&, std::size_t count) const override {
    return count;
  }
  [[nodiscard]] std::size_t encode(const Piece& piece, std::span<const std::byte> elements,
                                   std::span<std::byte> to, Workspace& workspace) const override {
    const std::size_t count = elements.size() / sizeof(float);
    const Channels channels = channels_of(piece.block);
    const float* const from = floats_of(elements);
    if (channels.run < short_run) {
      const Rows rows = expand(piece, channels, workspace, true);
      kernels::for_each_row(piece.first, count, rows.size,
                            [&](std::size_t i, std::size_t phase, std::size_t n) {
                              kernels::quantize_row(from + i, n, rows.least + phase,
                                                    rows.factor + phase, to.data() + i);
                            });
    } else {
      kernels::for_each_run(piece.first, count, channels.run, channels.channels,
                            [&](std::size_t i, std::size_t channel, std::size_t n) {
                              const Scale scale = read(piece, channels, channel);
                              kernels::quantize(from + i, n, scale.least, scale.inverse(),
                                                to.data() + i);
                            });
    }
    return count;
  }
  [[nodiscard]] Result<void> decode(const Piece& piece, std::span<const std::byte> encoded,
                                    std::span<std::byte> elements,
                                    Workspace& workspace) const override {
    const std::size_t count = elements.size() / sizeof(float);
    if (piece.block.dtype != DType::float32 || encoded.size() != count)
      return fail(Errc::corrupt, "a quantised piece of the wrong type or length");
    const Channels channels = channels_of(piece.block);
    if (piece.first == 0)
      for (std::size_t c = 0; c < channels.channels; ++c)
        if (!read(piece, channels, c).valid())
          return fail(Errc::corrupt, "a quantised block whose scale is no number");
    float* const to = floats_of(elements);
    if (channels.run < short_run) {
      const Rows rows = expand(piece, channels, workspace, false);
      kernels::for_each_row(piece.first, count, rows.size,
                            [&](std::size_t i, std::size_t phase, std::size_t n) {
                              kernels::dequantize_row(encoded.data() + i, n, rows.least + phase,
                                                      rows.factor + phase, to + i);
                            });
    } else {
      kernels::for_each_run(piece.first, count, channels.run, channels.channels,
                            [&](std::size_t i, std::size_t channel, std::size_t n) {
                              const Scale scale = read(piece, channels, channel);
                              kernels::dequantize(encoded.data() + i, n, scale.least, scale.scale,
                                                  to + i);
                            });
    }
    return {};
  }

 private:
  static constexpr float steps = 255;
  static constexpr std::size_t fewest_elements = 16;  // of a channel with a range of its own
  // Shorter runs of a channel go through kernels with a scale for each element of a row, of
  // shortest_row elements at least.
  static constexpr std::size_t short_run = 32, shortest_row = 256;

  struct Channels {
    std::size_t channels = 1, run = 1;
  };
  struct Rows {
    const float* least = nullptr;
    const float* factor = nullptr;
    std::size_t size = 0;
  };

  static Channels channels_of(const BlockShape& block) {
    if (block.channels == 1 || block.elements / block.channels < fewest_elements)
      return {1, block.elements};
    return {block.channels, block.run};
  }

  static void ranges(Channels channels, const float* from, std::size_t count,
                     std::vector<float>& least, std::vector<float>& most) {
    const std::size_t period = channels.run * channels.channels;
    if (channels.run >= short_run) {
      for (std::size_t c = 0; c < channels.channels; ++c)
        least[c] = most[c] = from[c * channels.run];
      kernels::for_each_run(0, count, channels.run, channels.channels,
                            [&](std::size_t i, std::size_t channel, std::size_t n) {
                              const kernels::Range range = kernels::range_of(from + i, n);
                              least[channel] = std::min(least[channel], range.least);
                              most[channel] = std::max(most[channel], range.most);
                            });
      return;
    }
    // Each place of a row by itself, then the places of a channel together.
    const std::size_t size = row_size(period, count);
    std::vector<float> low(from, from + size), high(from, from + size);
    kernels::for_each_row(0, count, size, [&](std::size_t i, std::size_t phase, std::size_t n) {
      kernels::widen_row(from + i, n, low.data() + phase, high.data() + phase);
    });
    for (std::size_t c = 0; c < channels.channels; ++c) least[c] = most[c] = from[c * channels.run];
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t channel = i / channels.run % channels.channels;
      least[channel] = std::min(least[channel], low[i]);
      most[channel] = std::max(most[channel], high[i]);
    }
  }

  // Whole periods: at least shortest_row elements, if there are so many.
  static std::size_t row_size(std::size_t period, std::size_t elements) {
    std::size_t size = period;
    while (size < shortest_row && size + period <= elements) size += period;
    return size;
  }

  static Scale read(const Piece& piece, Channels channels, std::size_t channel) {
    Scale scale;
    std::memcpy(&scale.least, piece.header.data() + channel * sizeof(float), sizeof(float));
    std::memcpy(&scale.scale, piece.header.data() + (channels.channels + channel) * sizeof(float),
                sizeof(float));
    return scale;
  }

  // A scale for each element of a row; kept in the workspace from piece to piece of a block.
  static Rows expand(const Piece& piece, Channels channels, Workspace& workspace, bool inverse) {
    const std::size_t size = row_size(channels.run * channels.channels, piece.block.elements);
    const std::size_t bytes = 2 * size * sizeof(float);
    const bool there = piece.first != 0 && workspace.bytes.size() == bytes;
    workspace.bytes.resize(bytes);
    auto* const least = reinterpret_cast<float*>(workspace.bytes.data());
    float* const factor = least + size;
    if (!there)
      for (std::size_t i = 0; i < size; ++i) {
        const Scale scale = read(piece, channels, i / channels.run % channels.channels);
        least[i] = scale.least;
        factor[i] = inverse ? scale.inverse() : scale.scale;
      }
    return {least, factor, size};
  }
};

}  // namespace

std::unique_ptr<const Codec> make_uniform(unsigned bits) {
  if (bits == 8)
    return std::make_unique<Uniform<8>>();
  if (bits == 4)
    return std::make_unique<Uniform<4>>();
  return std::make_unique<Uniform<2>>();
}

std::unique_ptr<const Codec> make_per_channel() {
  return std::make_unique<PerChannel>();
}

}  // namespace cleave::inline v0::transport
