// What one pass over example inputs shows: sizes, bytes at each cut, and who shares memory.
#pragma once

#include "lib/model/plan.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/memory_trace.hpp>
#include <cleave/core/result.hpp>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

struct StepFacts {
  bool computes = false;                   ///< makes a tensor of its own, or changes one in place
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
  /// Operators that gave their argument's memory although their schema denies it; those that are
  /// known for it (see shares_memory.hpp) are not among them.
  std::set<std::string> undeclared;
};

/// Whether which cuts change results may depend on the inputs' sizes: the plan changes something in
/// place, or views memory beyond what it was given.
bool depends_on_sizes(const Plan& plan);

/// Runs the plan once. `inputs` are changed if the plan does so: give it its own. `declared` says
/// whether libtorch's alias analysis, which does not depend on the inputs, is asked as well.
/// Errc::invalid_argument: the network does not run on such inputs; unsupported: it writes into its
/// own weights, or a value that cannot cross is alive everywhere.
CLEAVE_EXPORT core::Result<Analysis> analyse(const Plan& plan, std::vector<c10::IValue> inputs,
                                             bool declared = true);

}  // namespace cleave::inline v0::model
