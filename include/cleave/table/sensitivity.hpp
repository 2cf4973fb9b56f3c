// How much the decisions of a table hang on its watts being right.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

namespace cleave::inline v0::table {

/// A part of the power model.
enum class PowerPart {
  edge_busy,  ///< the edge while it computes
  edge_idle,  ///< the edge while it waits
  radio,      ///< energy per byte, both ways
  cloud,      ///< what the cloud draws for the request
};

/// "edge, computing", "edge, waiting", "radio", "cloud"
CLEAVE_EXPORT std::string_view to_string(PowerPart part);

/// What happens if a part draws `factor` times what the model says, and the decisions are those of
/// the model.
struct PowerSensitivity {
  PowerPart part = PowerPart::edge_busy;
  double factor = 1;
  std::size_t decisions = 0;  ///< deadlines that were looked at
  std::size_t changed = 0;    ///< of them, those where another row would need less energy
  double mean_regret = 0;  ///< energy spent beyond that of the best row, relative to it; over all
  double worst_regret = 0;
};

/// Looks at every deadline at which another row comes into reach on the reference link with an
/// empty queue: every latency of a row. The decision is the row of the least energy at the table's
/// boundary among those in time; between two such deadlines it is that of the earlier. Energies are
/// compose()'s, with the ingredients' watts scaled. Rows that the optimizer did not keep are not
/// looked at, so a better choice may have been lost before.
///
/// Each part at each factor, in this order; parts that no row needs energy for are left out. Empty
/// for a table of which every energy was measured, and for an empty one. O(n log n) in the rows.
CLEAVE_EXPORT std::vector<PowerSensitivity> power_sensitivity(const ParetoTable& table,
                                                              const std::vector<double>& factors = {
                                                                  0.7, 1.3});

}  // namespace cleave::inline v0::table
