#include "optimizer/stage.hpp"

#include <cleave/optimizer/front.hpp>

#include <pagmo/utils/multi_objective.hpp>

#include <algorithm>
#include <cmath>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

// Worse than anything real in log seconds, log joules or accuracy, yet a number: crowding distances
// of infinities would be NaN.
constexpr double hopeless = 1e6;

}  // namespace

Point Stage::decode(const double* x) const {
  const auto variables = space.variables();
  Point point(variables.size(), 0);
  for (std::size_t i = 0; i < active.size(); ++i)
    point[active[i]] = std::min(variables[active[i]].levels - 1,
                                static_cast<std::uint32_t>(std::lround(std::max(0.0, x[i]))));
  space.canonicalise(point);
  return point;
}

pagmo::vector_double Stage::encode(const Point& point) const {
  pagmo::vector_double x;
  for (const std::size_t v : active) x.push_back(point[v]);
  return x;
}

pagmo::vector_double Stage::fitness(std::size_t entry) const {
  pagmo::vector_double f = archive.objectives(entry, context);
  for (double& value : f) value = std::isfinite(value) ? value : hopeless;
  return f;
}

pagmo::vector_double Stage::hopeless_fitness() const {
  return pagmo::vector_double(space.objectives(), hopeless);
}

std::uint64_t Stage::left() const {
  const std::uint64_t size = archive.entries().size();
  return until > size ? until - size : 0;
}

std::size_t Stage::evaluate(std::vector<Point> points, std::uint64_t limit) {
  std::vector<Point> fresh;
  std::unordered_set<Point, PointHash> seen;
  for (Point& point : points)
    if (fresh.size() < std::min(limit, left()) && !archive.contains(point) &&
        seen.insert(point).second)
      fresh.push_back(std::move(point));
  return archive.evaluate(fresh);
}

std::vector<std::size_t> Stage::front() const {
  std::vector<Objectives> points;
  for (std::size_t i = 0; i < archive.entries().size(); ++i)
    points.push_back(archive.objectives(i, context));
  return pareto_front(points);
}

std::vector<std::size_t> select(const Stage& stage, const std::vector<std::size_t>& entries,
                                std::size_t size) {
  if (entries.size() <= size)
    return entries;
  std::vector<pagmo::vector_double> f;
  for (const std::size_t entry : entries) f.push_back(stage.fitness(entry));
  std::vector<std::size_t> out;
  for (const auto i : pagmo::select_best_N_mo(f, size)) out.push_back(entries[i]);
  return out;
}

std::vector<std::size_t> best_entries(const Stage& stage, std::size_t size) {
  std::vector<std::size_t> rest(stage.archive.entries().size());
  for (std::size_t i = 0; i < rest.size(); ++i) rest[i] = i;
  std::vector<std::size_t> chosen;
  while (chosen.size() < size && !rest.empty()) {
    std::vector<Objectives> points;
    for (const std::size_t entry : rest) points.push_back(stage.fitness(entry));
    const std::vector<std::size_t> front = pareto_front(points);
    std::vector<std::size_t> next;
    for (std::size_t i = 0, f = 0; i < rest.size(); ++i) {
      const bool taken = f < front.size() && front[f] == i;
      f += taken;
      (taken ? chosen : next).push_back(rest[i]);
    }
    rest = std::move(next);
  }
  return select(stage, chosen, size);
}

}  // namespace cleave::inline v0::optimizer
