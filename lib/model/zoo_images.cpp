#include "lib/model/zoo_networks.hpp"
#include "lib/model/zoo_torch.hpp"

#include <cmath>
#include <random>

namespace cleave::inline v0::model {

at::Tensor structured_images(std::int64_t count, std::int64_t channels, std::int64_t height,
                             std::int64_t width, std::uint64_t seed) {
  at::Tensor images = at::empty({count, channels, height, width});
  float* at_pixel = images.data_ptr<float>();
  std::mt19937_64 engine(seed);
  const auto uniform = [&](double from, double to) {
    return from + (to - from) * static_cast<double>(engine() >> 11) * 0x1p-53;
  };
  constexpr double two_pi = 6.283185307179586;
  for (std::int64_t plane = 0; plane < count * channels; ++plane) {
    // One gradient, two gratings and a block, each with its own place, direction and strength.
    const double tilt_x = uniform(-2, 2), tilt_y = uniform(-2, 2), level = uniform(-0.5, 0.5);
    double fx[2], fy[2], phase[2], strength[2];
    for (int k = 0; k < 2; ++k) {
      fx[k] = uniform(-14, 14);
      fy[k] = uniform(-14, 14);
      phase[k] = uniform(0, two_pi);
      strength[k] = uniform(0.3, 1);
    }
    const double left = uniform(0, 0.7), top = uniform(0, 0.7), side = uniform(0.15, 0.5);
    const double block = uniform(-1.5, 1.5);
    for (std::int64_t row = 0; row < height; ++row) {
      for (std::int64_t column = 0; column < width; ++column) {
        const double x = static_cast<double>(column) / static_cast<double>(width);
        const double y = static_cast<double>(row) / static_cast<double>(height);
        double value = level + tilt_x * (x - 0.5) + tilt_y * (y - 0.5) + uniform(-0.3, 0.3);
        for (int k = 0; k < 2; ++k)
          value += strength[k] * std::sin(two_pi * (fx[k] * x + fy[k] * y) + phase[k]);
        if (x >= left && x < left + side && y >= top && y < top + side)
          value += block;
        *at_pixel++ = static_cast<float>(value);
      }
    }
  }
  return images;
}

namespace zoo_detail {

at::Tensor calibration_images(std::int64_t channels, std::int64_t height, std::int64_t width,
                              std::uint64_t seed) {
  const at::Tensor images = structured_images(8, channels, height, width, seed);
  // Every second image drowns in noise.
  at::Tensor noise = at::empty({4, channels, height, width});
  float* const values = noise.data_ptr<float>();
  std::mt19937_64 engine(~seed);
  for (std::int64_t i = 0; i < noise.numel(); ++i)
    values[i] = static_cast<float>(static_cast<double>(engine() >> 11) * 0x1p-53 - 0.5) * 3.4f;
  return at::cat({images.narrow(0, 0, 4), images.narrow(0, 4, 4) * 0.25 + noise});
}

at::Tensor as_pixels(const at::Tensor& images) {
  return images * 0.35 + 0.29;
}

}  // namespace zoo_detail

at::Tensor zoo_inputs(const ZooEntry& entry, std::int64_t count, std::uint64_t seed) {
  const at::Tensor images =
      structured_images(count, entry.input[1], entry.input[2], entry.input[3], seed);
  return entry.input[1] == 1 ? zoo_detail::as_pixels(images) : images;
}

}  // namespace cleave::inline v0::model
