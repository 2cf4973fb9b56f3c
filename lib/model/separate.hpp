// Copies of values that share no memory with the originals, but the same memory with one another.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <vector>

namespace cleave::inline v0::model {

/// Copies every tensor whose storage one of the `chosen` values reaches, and every container that
/// is chosen. Tensors keep sizes and strides, and those that shared a storage share one again.
/// `chosen` has one entry a value.
std::vector<c10::IValue> separate(const std::vector<c10::IValue>& values,
                                  const std::vector<bool>& chosen);
/// All of them.
std::vector<c10::IValue> separate(const std::vector<c10::IValue>& values);

}  // namespace cleave::inline v0::model
