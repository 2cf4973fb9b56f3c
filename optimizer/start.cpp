#include "optimizer/start.hpp"

#include "optimizer/archive.hpp"

#include <pagmo/utils/discrepancy.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

// The levels of a variable that corners take.
std::vector<std::uint32_t> corner_levels(const Variable& variable) {
  std::vector<std::uint32_t> levels;
  if (variable.word)
    for (std::uint32_t level = 0; level < variable.levels; ++level) levels.push_back(level);
  else if (variable.levels == 1)
    levels = {0};
  else
    levels = {0, variable.levels - 1};
  return levels;
}

// Variables apart: words that differ, and numbers by their share of the range.
double distance(std::span<const Variable> variables, const Point& a, const Point& b) {
  double sum = 0;
  for (std::size_t v = 0; v < variables.size(); ++v)
    if (a[v] != b[v])
      sum += variables[v].word ? 1
                               : std::abs(static_cast<double>(a[v]) - static_cast<double>(b[v])) /
                                     (variables[v].levels - 1);
  return sum;
}

// So many of the points that each is as far as possible from those before it; the first of equals.
std::vector<Point> farthest_first(const Space& space, const std::vector<Point>& points,
                                  std::size_t count) {
  std::vector<double> nearest(points.size(), std::numeric_limits<double>::infinity());
  std::vector<Point> out;
  while (out.size() < std::min(count, points.size())) {
    const auto next = static_cast<std::size_t>(std::max_element(nearest.begin(), nearest.end()) -
                                               nearest.begin());
    out.push_back(points[next]);
    for (std::size_t i = 0; i < points.size(); ++i)
      nearest[i] = std::min(nearest[i], distance(space.variables(), points[i], points[next]));
  }
  return out;
}

// All corners if they are at most `limit`. Else those that are feasible as they are come before
// those that stand for another point, and the ones that are far apart before the others; where
// there are too many to look at, a random choice of `limit` draws.
std::vector<Point> corners(const Space& space, std::size_t limit, Random& random) {
  std::vector<std::vector<std::uint32_t>> levels;
  std::size_t count = 1;
  constexpr std::size_t too_many = 100'000;
  for (const Variable& variable : space.variables()) {
    levels.push_back(corner_levels(variable));
    count = count > too_many ? count : count * levels.back().size();
  }
  std::vector<Point> out, moved;
  const auto add = [&](auto choose) {
    Point point;
    for (std::size_t v = 0; v < levels.size(); ++v) point.push_back(levels[v][choose(v)]);
    const Point corner = point;
    space.canonicalise(point);
    (point == corner ? out : moved).push_back(std::move(point));
  };
  if (count > too_many) {
    for (std::size_t i = 0; i < limit; ++i)
      add([&](std::size_t v) { return random.below(levels[v].size()); });
    out.insert(out.end(), moved.begin(), moved.end());
    return out;
  }
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t rest = i;
    add([&](std::size_t v) {
      const std::size_t choice = rest % levels[v].size();
      rest /= levels[v].size();
      return choice;
    });
  }
  std::sort(moved.begin(), moved.end());
  moved.erase(std::unique(moved.begin(), moved.end()), moved.end());
  std::erase_if(moved, [&](const Point& point) {
    return std::find(out.begin(), out.end(), point) != out.end();
  });
  if (out.size() + moved.size() > limit) {
    random.shuffle(out);
    random.shuffle(moved);
    out = farthest_first(space, out, limit);
    moved = farthest_first(space, moved, limit - out.size());
  }
  out.insert(out.end(), moved.begin(), moved.end());
  return out;
}

// Evenly spaced members of a list.
std::vector<Point> spread_over(const std::vector<Point>& points, std::size_t limit) {
  if (points.size() <= limit)
    return points;
  std::vector<Point> out;
  for (std::size_t i = 0; i < limit; ++i)
    out.push_back(points[limit == 1 ? 0 : i * (points.size() - 1) / (limit - 1)]);
  return out;
}

}  // namespace

std::vector<Point> seeded_start(const Space& space, std::size_t total, std::size_t limit,
                                Random& random) {
  std::vector<Point> out;
  std::unordered_set<Point, PointHash> seen;
  const auto add = [&](const Point& point) {
    if (out.size() < limit && seen.insert(point).second)
      out.push_back(point);
  };
  for (const Point& point : spread_over(space.suggested(), std::max<std::size_t>(1, limit / 4)))
    add(point);
  for (const Point& point : corners(space, std::max<std::size_t>(1, limit / 2), random)) add(point);
  // Halton's sequence is poor in many dimensions unless its beginning is skipped.
  const auto variables = space.variables();
  pagmo::halton sequence(static_cast<unsigned>(variables.size()), 20);
  for (std::size_t draws = 0; out.size() < std::min(total, limit) && draws < 8 * total; ++draws) {
    const std::vector<double> at = sequence();
    Point point;
    for (std::size_t v = 0; v < variables.size(); ++v)
      point.push_back(std::min(variables[v].levels - 1,
                               static_cast<std::uint32_t>(at[v] * variables[v].levels)));
    space.canonicalise(point);
    add(point);
  }
  return out;
}

std::vector<Point> neighbours(const Space& space, const Point& point) {
  std::vector<Point> out;
  const auto add = [&](std::size_t variable, std::uint32_t level) {
    Point next = point;
    next[variable] = level;
    space.canonicalise(next);
    if (next != point && std::find(out.begin(), out.end(), next) == out.end())
      out.push_back(std::move(next));
  };
  const auto variables = space.variables();
  for (std::size_t v = 0; v < variables.size(); ++v) {
    if (variables[v].word) {
      for (std::uint32_t level = 0; level < variables[v].levels; ++level) add(v, level);
      continue;
    }
    if (point[v] > 0)
      add(v, point[v] - 1);
    if (point[v] + 1 < variables[v].levels)
      add(v, point[v] + 1);
  }
  return out;
}

Point random_point(const Space& space, Random& random) {
  Point point;
  for (const Variable& variable : space.variables())
    point.push_back(static_cast<std::uint32_t>(random.below(variable.levels)));
  space.canonicalise(point);
  return point;
}

}  // namespace cleave::inline v0::optimizer
