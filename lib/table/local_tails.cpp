#include <cleave/table/local_tails.hpp>

#include <algorithm>

namespace cleave::inline v0::table {
namespace {

using core::Seconds;
using Levels = std::vector<core::LevelIndex>;

const Levels& levels_of(const TableRow& row) {
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

std::vector<LocalTail> local_tails(const ParetoTable& table) {
  std::vector<std::uint32_t> whole;
  double most_accurate = 0;
  for (std::uint32_t i = 0; i < table.rows.size(); ++i)
    if (const Ingredients& in = table.rows[i].ingredients; !in.uses_cloud) {
      whole.push_back(i);
      most_accurate = std::max(most_accurate, in.accuracy.value);
    }
  std::vector<LocalTail> tails;
  tails.reserve(table.rows.size());
  for (const TableRow& row : table.rows) {
    const Seconds head = row.ingredients.edge_compute;
    std::optional<Seconds> same;
    double accuracy = std::min(row.ingredients.accuracy.value, most_accurate);
    for (const std::uint32_t i : whole)
      if (const TableRow& other = table.rows[i]; levels_of(other) == levels_of(row)) {
        same = other.ingredients.edge_compute;
        accuracy = other.ingredients.accuracy.value;
      }
    const double left =
        same && *same > Seconds(0) ? std::max(0.0, 1 - head / *same) : 1;  // of the network
    LocalTail best{Seconds(0), Seconds(0), row.ingredients.edge_busy, levels_of(row), {}};
    for (const std::uint32_t i : whole) {
      const TableRow& other = table.rows[i];
      if (other.ingredients.accuracy.value < accuracy)
        continue;
      const Seconds all = other.ingredients.edge_compute;
      const Seconds compute = same ? left * all : std::max(Seconds(0), all - head);
      const Seconds change = switching(table.edge_knobs, levels_of(row), levels_of(other));
      if (!best.like || compute + change < best.time())
        best = {compute, change, other.ingredients.edge_busy, levels_of(other), i};
    }
    tails.push_back(std::move(best));
  }
  return tails;
}

}  // namespace cleave::inline v0::table
