// Top-1: what a classifier answers.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/tensor.hpp>

#include <cstdint>

namespace cleave::inline v0::core {

/// Index of the largest element of the first tensor among the values, counted over all its
/// elements in row-major order; the lowest index wins a tie, NaN never wins. -1 if there is no
/// floating-point tensor (float16, bfloat16 and complex ones do not count) or it is empty.
CLEAVE_EXPORT std::int32_t top_class(const Values& outputs);

}  // namespace cleave::inline v0::core
