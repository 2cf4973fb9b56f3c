// How much memory the steps of a network need.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/step_graph.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::core {

/// Of one step.
struct StepMemory {
  /// Weights that lie together; equal numbers in two steps are the same piece.
  struct Weights {
    std::uint64_t piece = 0;
    Bytes bytes;
  };
  /// The most that was in use at one moment while it ran, beyond weights and the network's inputs:
  /// what waits for later steps, its arguments and results, and its scratch memory.
  Bytes working;
  std::vector<Weights> weights;  ///< that it reads
};

/// What a host needs for these steps (one flag per step): their weights, each piece once, the most
/// that any of them works in, and `received`, what it was given: the inputs of the network or what
/// crosses the cut. Given values that a step lets go of are counted in both, so this is more than
/// what is in use at any moment by at most `received`. Precondition: as many flags as steps.
CLEAVE_EXPORT Bytes memory_of(std::span<const StepMemory> steps, const StepSet& part,
                              Bytes received);

}  // namespace cleave::inline v0::core
