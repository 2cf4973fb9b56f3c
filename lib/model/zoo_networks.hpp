// The zoo's networks, each as a function that builds and calibrates it.
#pragma once

#include "lib/model/zoo_layers.hpp"

namespace cleave::inline v0::model::zoo_detail {

/// What the networks for normalised images are calibrated on: structured images and, so that noise
/// fed to them does not run away, some of white noise.
at::Tensor calibration_images(std::int64_t channels, std::int64_t height, std::int64_t width,
                              std::uint64_t seed);
/// Images of mean 0 and deviation 1 as fractions of white, as Fashion-MNIST's pixels are spread.
at::Tensor as_pixels(const at::Tensor& images);

Module vgg16(std::uint64_t seed);
Module resnet50(std::uint64_t seed);
Module mobilenet_v2(std::uint64_t seed);
Module googlenet(std::uint64_t seed);
Module vit_b_16(std::uint64_t seed);
Module fashion_residual(std::uint64_t seed);

}  // namespace cleave::inline v0::model::zoo_detail
