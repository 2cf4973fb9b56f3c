#include <cleave/core/step_memory.hpp>

#include <algorithm>
#include <unordered_set>

namespace cleave::inline v0::core {

Bytes memory_of(std::span<const StepMemory> steps, const StepSet& part, Bytes received) {
  std::unordered_set<std::uint64_t> seen;
  Bytes working, weights;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!part[i])
      continue;
    working = std::max(working, steps[i].working);
    for (const StepMemory::Weights& piece : steps[i].weights) {
      if (seen.insert(piece.piece).second)
        weights += piece.bytes;
    }
  }
  return received + working + weights;
}

}  // namespace cleave::inline v0::core
