// Pictures, from a file to what a network takes.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::data {

/// 8 bits a channel, row by row, channels interleaved: pixels[(y * width + x) * channels + c].
/// Invariant: pixels.size() == width * height * channels, all three above 0.
struct Image {
  std::uint32_t width = 0, height = 0;
  std::uint32_t channels = 1;  ///< 1: grey, 3: red, green, blue
  std::vector<std::uint8_t> pixels;
};

/// Larger pictures are refused before they are decoded.
inline constexpr std::uint64_t image_pixel_limit = std::uint64_t{1} << 26;

/// A PNG or JPEG, told apart by their first bytes; grey stays grey, everything else becomes RGB,
/// transparency is laid over black. `where` names it in errors. Errors: unsupported (neither),
/// corrupt, exhausted (over the limit). Thread-safe.
CLEAVE_EXPORT core::Result<Image> decode_image(std::span<const std::byte> bytes,
                                               const std::string& where);
/// The same of a file; and core::read_file's errors.
CLEAVE_EXPORT core::Result<Image> read_image(const std::filesystem::path& path);

/// How 8-bit values become a network's: (value * scale - mean[c]) / deviation[c].
struct InputOptions {
  double scale = 1.0 / 255;
  std::vector<double> mean;       ///< one per channel of the input, or one for all; empty: 0
  std::vector<double> deviation;  ///< likewise; empty: 1. Not 0
};

/// A float32 tensor of the sizes given: 1 x C x H x W with C 1 or 3, or 1 x N with N the image's
/// own number of values (then neither resized nor recoloured). The image is stretched to H x W by
/// bilinear interpolation between pixel centres (torch's interpolate with align_corners=false, no
/// antialiasing); grey is repeated over RGB, RGB becomes grey by ITU-R BT.601's
/// 0.299 R + 0.587 G + 0.114 B. Errors: invalid_argument (other sizes or options). Thread-safe.
CLEAVE_EXPORT core::Result<core::Tensor> to_input(const Image& image,
                                                  std::span<const std::int64_t> sizes,
                                                  const InputOptions& options = {});

}  // namespace cleave::inline v0::data
