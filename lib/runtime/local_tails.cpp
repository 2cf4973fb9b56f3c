#include "lib/runtime/local_tails.hpp"

#include <algorithm>
#include <optional>

namespace cleave::inline v0::runtime {
namespace {

using core::Seconds;
using Levels = std::vector<core::LevelIndex>;

const Levels& levels_of(const table::TableRow& row) {
  return row.configuration.stages.front().levels;
}

Seconds switching(const std::vector<core::Knob>& knobs, const Levels& from, const Levels& to) {
  Seconds sum;
  for (std::size_t k = 0; k < std::min({knobs.size(), from.size(), to.size()}); ++k)
    if (from[k] != to[k])
      sum += knobs[k].switch_cost;
  return sum;
}

}  // namespace

std::vector<LocalTail> local_tails(const table::ParetoTable& table) {
  std::vector<const table::TableRow*> whole;
  double most_accurate = 0;
  for (const table::TableRow& row : table.rows)
    if (!row.ingredients.uses_cloud) {
      whole.push_back(&row);
      most_accurate = std::max(most_accurate, row.ingredients.accuracy.value);
    }
  std::vector<LocalTail> tails;
  for (const table::TableRow& row : table.rows) {
    const Seconds head = row.ingredients.edge_compute;
    std::optional<Seconds> same;
    double accuracy = std::min(row.ingredients.accuracy.value, most_accurate);
    for (const table::TableRow* other : whole)
      if (levels_of(*other) == levels_of(row)) {
        same = other->ingredients.edge_compute;
        accuracy = other->ingredients.accuracy.value;
      }
    const double left =
        same && *same > Seconds(0) ? std::max(0.0, 1 - head / *same) : 1;  // of the network
    std::optional<LocalTail> best;
    for (const table::TableRow* other : whole) {
      if (other->ingredients.accuracy.value < accuracy)
        continue;
      const Seconds all = other->ingredients.edge_compute;
      const Seconds time = (same ? left * all : std::max(Seconds(0), all - head)) +
                           switching(table.edge_knobs, levels_of(row), levels_of(*other));
      if (!best || time < best->time)
        best = {time, other->ingredients.edge_busy, levels_of(*other)};
    }
    tails.push_back(
        best.value_or(LocalTail{Seconds(0), row.ingredients.edge_busy, levels_of(row)}));
  }
  return tails;
}

}  // namespace cleave::inline v0::runtime
