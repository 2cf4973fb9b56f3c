// The zoo's networks as libtorch modules, and the images they are calibrated on.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/model/zoo.hpp>

#include <torch/script.h>

#include <cstdint>
#include <string_view>

namespace cleave::inline v0::model {

/// As build_zoo_model(), kept in memory: in evaluation mode, its parameters trainable.
CLEAVE_EXPORT core::Result<torch::jit::Module> make_zoo_module(std::string_view name,
                                                               std::uint64_t seed);

/// `count` images of gratings, gradients, blocks and some noise, in float32
/// [count, channels, height, width] with mean about 0 and deviation about 1; no two alike.
CLEAVE_EXPORT at::Tensor structured_images(std::int64_t count, std::int64_t channels,
                                           std::int64_t height, std::int64_t width,
                                           std::uint64_t seed);

/// `count` different inputs for a network of the zoo, of its own size and range.
CLEAVE_EXPORT at::Tensor zoo_inputs(const ZooEntry& entry, std::int64_t count, std::uint64_t seed);

}  // namespace cleave::inline v0::model
