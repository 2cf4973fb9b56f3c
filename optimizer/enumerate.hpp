// Every point of a space that is small enough to be gone through.
#pragma once

#include "optimizer/archive.hpp"

#include <cleave/optimizer/search.hpp>

#include <cstdint>
#include <unordered_set>
#include <utility>

namespace cleave::inline v0::optimizer {

/// How many points enumerate() looks at, before canonicalisation; capped at just over the limit.
std::uint64_t raw_size(const Space& space, std::uint64_t limit);

/// Every canonical point once: in the order of the space's list, or of the first point that stands
/// for it; false from `visit` ends it. Takes memory for all of them.
template <class Visit>
void enumerate(const Space& space, Visit visit) {
  if (!space.listed().empty()) {
    for (const Point& point : space.listed())
      if (!visit(Point(point)))
        return;
    return;
  }
  std::unordered_set<Point, PointHash> seen;
  const auto variables = space.variables();
  Point at(variables.size(), 0);
  for (;;) {
    Point point = at;
    space.canonicalise(point);
    if (seen.insert(point).second && !visit(std::move(point)))
      return;
    // Count up, the last variable first.
    std::size_t v = variables.size();
    while (v > 0 && ++at[v - 1] == variables[v - 1].levels) at[--v] = 0;
    if (v == 0)
      return;
  }
}

}  // namespace cleave::inline v0::optimizer
