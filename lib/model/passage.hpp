// The steps that a host runs for its part of a network, where that part is not simply a piece of
// the sequence.
#pragma once

#include "lib/model/plan.hpp"

#include <cleave/core/step_graph.hpp>

#include <cstdint>
#include <vector>

namespace cleave::inline v0::model {

/// For Plan::run(): steps in the order of the sequence, and of each argument whether the frame may
/// let go of it.
struct Passage {
  std::vector<std::uint32_t> steps;
  std::vector<std::uint8_t> lets_go;
};

/// The slots that live across the end of a head: made in it (or given to the network) and read
/// outside, by a step or as an output. In the order of slots; for no steps at all, the inputs.
std::vector<std::uint32_t> live_across(const Plan& plan, const core::StepSet& head);

/// From one head to another that contains it. `kept`: the slots that live across the latter, or
/// whose values are the outputs.
Passage passage(const Plan& plan, const core::StepSet& from, const core::StepSet& to,
                const std::vector<std::uint32_t>& kept);

/// The slots that the outputs are read from.
std::vector<std::uint32_t> output_slots(const Plan& plan);

/// For people: the layers that give these slots, what their paths have in common first, as in
/// "inception4a: branch1.conv, branch2.1.conv".
std::string layers_of(const Plan& plan, const std::vector<std::uint32_t>& slots);

}  // namespace cleave::inline v0::model
