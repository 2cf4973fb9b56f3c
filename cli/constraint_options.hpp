// The options of `cleave optimize` that say what a table's rows must keep within, and which links
// it is for.
#pragma once

#include <cleave/core/result.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>
#ifdef CLEAVE_WITH_OPTIMIZER
#include <cleave/optimizer/optimize.hpp>
#endif

namespace cleave::cli {

struct ConstraintOptions {
  std::string max_edge_memory, max_cloud_memory, max_transfer, bandwidth, rtt;
  bool no_raw_input = false;
  std::uint32_t min_edge_steps = 0, max_edge_steps = UINT32_MAX;
  std::vector<std::string> allow_cuts, deny_cuts;

  /// Whether any was given: observations know none of them.
  [[nodiscard]] bool any() const;
};

void add_constraint_options(CLI::App& command, ConstraintOptions& options);

#ifdef CLEAVE_WITH_OPTIMIZER
/// Errc::invalid_argument: no size, no rate, no range.
core::Result<optimizer::Constraints> constraints_of(const ConstraintOptions& options);
/// The range of links, which holds the reference's own bandwidth or round trip where only the other
/// is given; then the fronts of multiples of the bandwidth are not wanted as well.
core::Result<void> apply_range(const ConstraintOptions& options, const table::LinkState& reference,
                               optimizer::OptimizeOptions& out);
#endif

}  // namespace cleave::cli
