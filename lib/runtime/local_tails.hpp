// What the edge would do by itself of what a row leaves to the cloud.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/pareto_table.hpp>

#include <vector>

namespace cleave::inline v0::runtime {

struct LocalTail {
  /// From when the cloud is given up to the outputs, changing knobs included. 0 if the table has no
  /// all-edge row: nothing is known of it then.
  core::Seconds time;
  core::Watts busy;  ///< of the edge meanwhile
  std::vector<core::LevelIndex>
      levels;  ///< the settings it runs under: an all-edge row's, or the row's
};

/// One for each row. It runs under the settings of the all-edge row with which it is done first,
/// changing knobs included: a request whose cloud has failed or is slow has little time left, and
/// the later the edge may begin, the less often it works for nothing. How much of the network is
/// left, and how accurate the edge must be, is told by the all-edge row of the row's own settings;
/// without one the head counts as if it had run under the other's, and the accuracy is the row's.
std::vector<LocalTail> local_tails(const table::ParetoTable& table);

}  // namespace cleave::inline v0::runtime
