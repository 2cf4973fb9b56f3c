// From a plan of ATen calls to one whose convolutions, linear layers and pools are oneDNN kernels
// with bias, sum and activation fused, and whose values lie in the layouts those run best in.
#pragma once

#include "lib/model/analysis.hpp"
#include "lib/model/fused_step.hpp"
#include "lib/model/plan.hpp"

#include <cleave/core/result.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// A fused plan of which kernels and layouts are yet to be chosen. What is fused with what depends
/// on the network alone, so the steps, and with them the cuts and their ids, are the same on every
/// machine; the choices are not.
struct Draft {
  Plan plan;
  std::vector<std::unique_ptr<Blueprint>> blueprints;  ///< one per step; null: the step stands
  /// Per step and argument: whether the value may lie otherwise than in the plan of ATen calls, so
  /// that a step that minds is given a contiguous one.
  std::vector<std::vector<bool>> flexible;

  /// Whether there is anything to choose.
  [[nodiscard]] bool has_kernels() const {
    return std::any_of(blueprints.begin(), blueprints.end(),
                       [](const auto& blueprint) { return blueprint != nullptr; });
  }
};

/// `plan` stays usable: steps and constants are shared. Nothing is fused in a network that changes
/// tensors in place or asks for their strides.
CLEAVE_EXPORT Draft fuse(const Plan& plan, const Analysis& analysis);

struct Tuning {
  std::uint64_t structure = 0;         ///< of the fused plan
  std::filesystem::path cache_folder;  ///< where choices are kept; empty: nowhere
  /// Every step by ATen's operators, on whatever device they run; nothing is measured or packed.
  bool by_aten = false;
};

/// Measures every variant of every step on the given inputs (one pass; on as many threads as the
/// calling thread uses), chooses kernels and layouts so that steps and conversions together take
/// the least time (dynamic programming over the steps, with the layouts of the values alive as the
/// state), and packs the weights. If the cache folder holds the choices of this structure for these
/// inputs on this machine with these libraries, nothing is measured. The draft is used up.
CLEAVE_EXPORT core::Result<Plan> choose(Draft draft, const std::vector<c10::IValue>& inputs,
                                        const Tuning& tuning);

}  // namespace cleave::inline v0::model
