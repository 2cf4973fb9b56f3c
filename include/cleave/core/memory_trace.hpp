// Who reads, changes and shares which memory in one pass through a network, as plain numbers; and
// the step graph that follows from it.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/step_graph.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleave::inline v0::core {

/// Steps, values and memory are numbered from 0; a piece of memory is a tensor's storage or a
/// container (a list, a dictionary).
struct MemoryTrace {
  /// The bytes [begin, end) of a storage that a tensor views, and what its elements take.
  struct View {
    std::uint32_t memory = 0;
    std::size_t begin = 0, end = 0, bytes = 0;
    friend bool operator==(const View&, const View&) = default;
  };
  struct Value {
    std::uint32_t producer = StepGraph::inputs;  ///< a step, or StepGraph::inputs
    std::vector<std::uint32_t> consumers;        ///< steps, ascending
    bool output = false;                         ///< of the network
    std::vector<View> views;                     ///< its tensors when it was made
    std::vector<std::uint32_t> reaches;  ///< all memory reached through it while it was alive;
                                         ///< twice what was reached in two ways
    /// Steps that may change it, by what operators declare (the pass shows only what happened with
    /// these inputs), ascending.
    std::vector<std::uint32_t> writers;
  };
  struct Step {
    std::vector<std::uint32_t> reads, writes;  ///< memory reached through its arguments; changed
    std::vector<std::uint32_t> beyond;  ///< storages of which it views more than it was given
    bool ordered = false;               ///< keeps its place among other such steps (prints, raises)
  };
  std::vector<Value> values;
  std::vector<Step> steps;
};

/// The graph in which a step needs what made its arguments, what changed the memory that it reads
/// before it, and what reads or changes the memory that it changes before it. Where a step changes
/// memory in place that two values reach, none of the values after the first may be separated from
/// it: each would be copied by itself and only one copy would change.
CLEAVE_EXPORT StepGraph step_graph_of(const MemoryTrace& trace);

}  // namespace cleave::inline v0::core
