// Which steps of a network need which others, and what crosses when some run on one host and the
// rest on another: all that a search for places to cut has to know, without libtorch.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <compare>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace cleave::inline v0::core {

/// The steps begin, begin + 1, ..., end - 1 of a network's sequence.
struct StepRange {
  std::uint32_t begin = 0, end = 0;
  friend auto operator<=>(const StepRange&, const StepRange&) = default;
};

/// A set of steps, one flag per step of the sequence.
using StepSet = std::vector<bool>;

/// The set as ranges, ascending, with a gap between any two.
CLEAVE_EXPORT std::vector<StepRange> ranges_of(const StepSet& set);
/// How many steps the ranges hold.
CLEAVE_EXPORT std::uint32_t step_count(std::span<const StepRange> ranges);
/// Whether the ranges hold the first steps of the sequence and no others (or none at all).
CLEAVE_EXPORT bool is_prefix(std::span<const StepRange> ranges);
/// Errc::invalid_argument unless ascending, none empty, with a gap between any two, and below
/// `steps`: what ranges_of() gives. For ranges from files and the network.
CLEAVE_EXPORT Result<void> check_ranges(std::span<const StepRange> ranges, std::uint32_t steps);
/// Precondition: check_ranges() accepts them.
CLEAVE_EXPORT StepSet set_of(std::span<const StepRange> ranges, std::uint32_t steps);

/// A head is a set of steps that may run before all others; a tail is the rest. A set is a head if
/// it is closed: with a step it holds all that the step needs (`order`), and where a copy made
/// between two steps would change a result it holds both or neither (`together`).
struct StepGraph {
  /// In place of a step: the network's inputs, which are on the edge.
  static constexpr std::uint32_t inputs = std::numeric_limits<std::uint32_t>::max();

  /// Two steps, by their index in the sequence.
  struct Pair {
    std::uint32_t first = 0, second = 0;
    friend auto operator<=>(const Pair&, const Pair&) = default;
  };

  /// Bytes that several values may share (views of one storage), sent once if any of them crosses:
  /// if `producer` is in the head and some consumer is not.
  struct Payload {
    Bytes bytes;                           ///< as the raw codec sends them
    std::uint32_t producer = inputs;       ///< a step, or `inputs`
    std::vector<std::uint32_t> consumers;  ///< steps, ascending
    bool output = false;  ///< an output of the network holds it: the reply, in the tail, needs it
  };

  std::uint32_t steps = 0;
  /// `second` needs `first`: its result, or that it has read memory before `second` changes it, or
  /// changed it before `second` reads it. Always first < second, so every prefix has all it needs.
  std::vector<Pair> order;
  /// When `first` is in the head, so must be `second`: they share memory that `second` changes, and
  /// two values of it would cross. With first == inputs: in every head but the empty one.
  std::vector<Pair> together;
  std::vector<Payload> payloads;
};

/// Whether the set may be a head. The empty set and the set of all steps always may.
CLEAVE_EXPORT bool is_head(const StepGraph& graph, const StepSet& set);

/// What crosses when the head is this set; nothing for the set of all steps, whose outputs stay
/// where they are. An upper bound where only parts of a strided view cross.
CLEAVE_EXPORT Bytes bytes_across(const StepGraph& graph, const StepSet& head);

/// Of what crosses there, the bytes that are the network's own inputs or share memory with them.
CLEAVE_EXPORT Bytes inputs_across(const StepGraph& graph, const StepSet& head);

}  // namespace cleave::inline v0::core
