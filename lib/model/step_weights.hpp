// The weights that a step of a plan reads.
#pragma once

#include "lib/model/plan.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleave::inline v0::model {

/// Weights in one piece of memory, which steps may share.
struct WeightPiece {
  const void* memory = nullptr;  ///< what tells pieces apart
  std::int64_t elements = 0;     ///< of the value that the step reads
  std::size_t bytes = 0;         ///< of the whole piece
};

/// Constants among its arguments and inside its own control flow, and what it has packed. A piece
/// that it reads twice is there twice.
std::vector<WeightPiece> weights_of(const Plan& plan, const PlacedStep& step);

}  // namespace cleave::inline v0::model
