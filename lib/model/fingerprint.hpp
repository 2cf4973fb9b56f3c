// Which model this is: its structure from the plan, its weights from the file.
#pragma once

#include "lib/model/plan.hpp"

#include <cleave/core/ids.hpp>

#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::model {

/// Ids of all positions, steps.size() + 1 of them: each the hash of the steps before it.
std::vector<core::CutId> cut_ids(const Plan& plan);

/// Of a head that is no prefix: the hash of its steps with their places in the sequence, since two
/// branches may hold steps that are alike.
core::CutId cut_id(const Plan& plan, std::span<const core::StepRange> head);

/// Of the steps, their wiring and the outputs; not of the weights' values.
std::uint64_t structure_hash(const Plan& plan);

/// Of every parameter, buffer and constant as it is in the file, by name. Taken before freezing
/// folds them, whose last bits may differ between machines.
std::uint64_t weights_hash(const torch::jit::Module& module);

}  // namespace cleave::inline v0::model
