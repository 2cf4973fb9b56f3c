// What a configuration must keep within, whatever it costs.
#pragma once

#include <cleave/core/units.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace cleave::inline v0::optimizer {

/// What no configuration of a table may break. A search only ever proposes what keeps within; so
/// do the rows that a table holds besides its fronts, and with them whatever a runtime does with
/// the table: a fallback runs the rest on the edge, or sends the same cut tensors to another cloud.
struct Constraints {
  static constexpr double none = std::numeric_limits<double>::infinity();

  /// What a host's part may take: weights, tensors and scratch memory (CutProfile::head_memory and
  /// tail_memory), and one encoded message. A process that keeps the whole network loaded, to be
  /// able to run all of it, holds the other part's weights too.
  core::Bytes max_edge_memory = core::Bytes(none), max_cloud_memory = core::Bytes(none);
  core::Bytes max_transfer = core::Bytes(none);  ///< what a request sends, encoded
  /// Neither the network's input nor a view of it crosses, at this cut or with it.
  bool no_raw_input = false;
  /// Steps that run on the edge.
  std::uint32_t min_edge_steps = 0, max_edge_steps = std::numeric_limits<std::uint32_t>::max();
  /// Cuts by name: "all-cloud", "all-edge", a cut's id, its layer ("features.3") or a module that
  /// the layer lies in ("features"). If any are allowed the others are not, but for all-edge, which
  /// divides nothing. What is denied is not allowed.
  std::vector<std::string> allow_cuts = {}, deny_cuts = {};
};

}  // namespace cleave::inline v0::optimizer
