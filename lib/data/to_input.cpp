#include <cleave/data/image.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::data {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::int64_t value_limit = std::int64_t{1} << 28;

// Where an output pixel's centre falls between two input pixels, as torch's upsample_bilinear2d
// without align_corners has it: (i + 0.5) * in / out - 0.5, not below the first pixel.
struct Tap {
  std::size_t low, high;
  float weight;  // of `high`
};

std::vector<Tap> taps(std::size_t in, std::size_t out) {
  std::vector<Tap> result(out);
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  for (std::size_t i = 0; i < out; ++i) {
    const float at = std::max(0.0f, scale * (static_cast<float>(i) + 0.5f) - 0.5f);
    const std::size_t low = std::min(static_cast<std::size_t>(at), in - 1);
    result[i] = {low, std::min(low + 1, in - 1), at - static_cast<float>(low)};
  }
  return result;
}

// One colour plane of the image as floats, recoloured if need be.
std::vector<float> plane(const Image& image, std::size_t channel, std::size_t channels,
                         double scale) {
  const std::size_t count = std::size_t{image.width} * image.height;
  std::vector<float> values(count);
  const auto factor = static_cast<float>(scale);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint8_t* pixel = image.pixels.data() + i * image.channels;
    float value = 0;
    if (image.channels == 1)
      value = pixel[0];
    else if (channels == 1)
      value = 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
    else
      value = pixel[channel];
    values[i] = value * factor;
  }
  return values;
}

double of_channel(const std::vector<double>& values, std::size_t channel, double otherwise) {
  if (values.empty())
    return otherwise;
  return values.size() == 1 ? values.front() : values[channel];
}

Result<void> check(const InputOptions& options, std::size_t channels) {
  for (const auto* values : {&options.mean, &options.deviation})
    if (values->size() > 1 && values->size() != channels)
      return fail(Errc::invalid_argument,
                  "mean and deviation need one value, or one for each of the " +
                      std::to_string(channels) + " channels");
  for (const double deviation : options.deviation)
    if (!(std::abs(deviation) > 0))
      return fail(Errc::invalid_argument, "a deviation of 0");
  return {};
}

}  // namespace

Result<core::Tensor> to_input(const Image& image, std::span<const std::int64_t> sizes,
                              const InputOptions& options) {
  const std::size_t own = std::size_t{image.width} * image.height * image.channels;
  if (own == 0 || image.pixels.size() != own || (image.channels != 1 && image.channels != 3))
    return fail(Errc::invalid_argument, "an image whose pixels do not fit its size");
  std::string text;
  std::int64_t values = 1;
  for (const std::int64_t size : sizes) {
    text += (text.empty() ? "" : "x") + std::to_string(size);
    if (size < 1 || size > value_limit || values > value_limit / size)
      return fail(Errc::invalid_argument, "an input size below 1 or too large", text);
    values *= size;
  }
  const bool flat = sizes.size() == 2 && sizes[0] == 1 && static_cast<std::size_t>(values) == own;
  const bool picture = sizes.size() == 4 && sizes[0] == 1 && (sizes[1] == 1 || sizes[1] == 3);
  if (!flat && !picture)
    return fail(Errc::invalid_argument,
                "a picture of " + std::to_string(image.width) + "x" + std::to_string(image.height) +
                    "x" + std::to_string(image.channels) + " does not fit this input",
                text, "pictures go into 1xCxHxW with C 1 or 3");
  const std::size_t channels = flat ? image.channels : static_cast<std::size_t>(sizes[1]);
  if (const auto checked = check(options, channels); !checked)
    return fail(checked);
  core::Tensor tensor = core::empty_tensor(core::DType::float32,
                                           std::vector<std::int64_t>(sizes.begin(), sizes.end()));
  auto* out = tensor.data_as<float>();
  if (flat) {
    for (std::size_t i = 0; i < own; ++i) {
      const std::size_t c = i % channels;
      out[i] =
          static_cast<float>((image.pixels[i] * options.scale - of_channel(options.mean, c, 0)) /
                             of_channel(options.deviation, c, 1));
    }
    return tensor;
  }
  const auto rows = taps(image.height, static_cast<std::size_t>(sizes[2]));
  const auto columns = taps(image.width, static_cast<std::size_t>(sizes[3]));
  for (std::size_t c = 0; c < channels; ++c) {
    const std::vector<float> source = plane(image, c, channels, options.scale);
    const auto mean = static_cast<float>(of_channel(options.mean, c, 0));
    const auto deviation = static_cast<float>(of_channel(options.deviation, c, 1));
    for (const Tap& row : rows) {
      const float* upper = source.data() + row.low * image.width;
      const float* lower = source.data() + row.high * image.width;
      for (const Tap& column : columns) {
        const float w = column.weight;
        const float top = (1 - w) * upper[column.low] + w * upper[column.high];
        const float bottom = (1 - w) * lower[column.low] + w * lower[column.high];
        *out++ = ((1 - row.weight) * top + row.weight * bottom - mean) / deviation;
      }
    }
  }
  return tensor;
}

}  // namespace cleave::inline v0::data
