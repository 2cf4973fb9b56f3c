// What one pass over example inputs shows: sizes, bytes at each cut, and who shares memory.
#pragma once

#include "lib/model/plan.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/memory_trace.hpp>
#include <cleave/core/result.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

struct StepFacts {
  bool computes = false;            ///< makes a tensor of its own, or changes one in place
  bool aliases_undeclared = false;  ///< gives its argument's memory although its schema denies it
  std::vector<std::int64_t> output_sizes;  ///< of its first tensor
};

struct PositionFacts {
  std::size_t bytes = 0;    ///< of the tensors that cross
  std::size_t tensors = 0;  ///< how many
  std::string refused;      ///< why the network must not be cut here; "" if it may
  /// Of the live slots: what the steps after would change in place.
  std::vector<bool> written_after;
};

struct Analysis {
  std::vector<StepFacts> steps;          ///< one per step
  std::vector<PositionFacts> positions;  ///< steps + 1
  std::vector<c10::IValue> outputs;      ///< of the pass
  core::MemoryTrace memory;              ///< of the pass; its values are the plan's slots
};

/// Runs the plan once. `inputs` are changed if the plan does so: give it its own.
/// Errc::invalid_argument: the network does not run on such inputs; unsupported: it writes into its
/// own weights, or a value that cannot cross is alive everywhere.
CLEAVE_EXPORT core::Result<Analysis> analyse(const Plan& plan, std::vector<c10::IValue> inputs);

}  // namespace cleave::inline v0::model
