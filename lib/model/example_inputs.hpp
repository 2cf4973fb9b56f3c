// Inputs to try a network with.
#pragma once

#include <cleave/core/tensor.hpp>
#include <cleave/model/model.hpp>

#include <cstdint>
#include <span>

namespace cleave::inline v0::model {

/// One value a spec; equal on every machine for equal seeds.
core::Values make_example_inputs(std::span<const InputSpec> specs, std::uint64_t seed);

}  // namespace cleave::inline v0::model
