// What the edge would do by itself of what a row leaves to the cloud.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace cleave::inline v0::table {

/// From when the cloud is given up, or no longer waited for alone, to the outputs.
struct LocalTail {
  core::Seconds compute;    ///< 0 if the table has no all-edge row: nothing is known of it then
  core::Seconds switching;  ///< changing knobs before
  core::Watts busy;         ///< of the edge meanwhile
  /// The settings it runs under: an all-edge row's, or, without one, the row's.
  std::vector<core::LevelIndex> levels;
  std::optional<std::uint32_t> like;  ///< that all-edge row

  [[nodiscard]] core::Seconds time() const { return compute + switching; }
};

/// One for each row. It runs under the settings of the all-edge row with which it is done first by
/// the table, changing knobs included: a request whose cloud has failed or is slow has little time
/// left, and the later the edge may begin, the less often it works for nothing. How much of the
/// network is left, and how accurate the edge must be, is told by the all-edge row of the row's own
/// settings; without one the head counts as if it had run under the other's, and the accuracy is
/// the row's.
CLEAVE_EXPORT std::vector<LocalTail> local_tails(const ParetoTable& table);

}  // namespace cleave::inline v0::table
