#include "optimizer/table_builder.hpp"

#include <cleave/optimizer/front.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cleave::inline v0::optimizer {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

Objectives in_context(const Space& space, const Evaluated& entry, std::size_t context) {
  const auto count = static_cast<std::ptrdiff_t>(space.objectives());
  const auto begin = entry.objectives.begin() + count * static_cast<std::ptrdiff_t>(context);
  return Objectives(begin, begin + count);
}

// How far beyond the front's members that are as accurate, in both latency and energy.
double distance(const Objectives& point, const std::vector<Objectives>& front) {
  double farthest = 0;
  for (const Objectives& f : front)
    if (f.size() < 3 || f[2] <= point[2])
      farthest = std::max(farthest, std::min(point[0] - f[0], point[1] - f[1]));
  return std::isfinite(point[0]) && std::isfinite(point[1]) ? farthest : infinity;
}

// Members of a front that is too large, so that what is left spreads over it: every so many by
// latency, the ends included.
std::vector<std::size_t> thin(std::vector<std::size_t> front, std::size_t limit,
                              const std::vector<Objectives>& points) {
  if (front.size() <= limit)
    return front;
  std::stable_sort(front.begin(), front.end(),
                   [&](auto a, auto b) { return points[a] < points[b]; });
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < limit; ++i)
    out.push_back(front[i * (front.size() - 1) / (limit - 1)]);
  return out;
}

}  // namespace

std::vector<Kept> keep(const Space& space, const std::vector<Evaluated>& archive,
                       const KeepOptions& options) {
  const auto none = [](const Point&) { return false; };
  const auto all_edge = options.all_edge ? options.all_edge : none;
  const auto all_cloud = options.all_cloud ? options.all_cloud : none;
  std::vector<double> nearest(archive.size(), infinity);
  std::vector<std::size_t> reference_front;
  std::vector<std::size_t> anchors;
  for (std::size_t context = 0; context < space.contexts(); ++context) {
    std::vector<Objectives> points, edge_points;
    std::vector<std::size_t> edge_entries;
    for (std::size_t i = 0; i < archive.size(); ++i) {
      points.push_back(in_context(space, archive[i], context));
      if (context == 0 && all_edge(archive[i].point)) {
        edge_points.push_back(points.back());
        edge_entries.push_back(i);
      }
    }
    const auto measure = [&](const std::vector<Objectives>& from, const auto& entry_of) {
      const std::vector<std::size_t> front = pareto_front(from);
      std::vector<Objectives> members;
      for (const std::size_t i : front) members.push_back(from[i]);
      for (std::size_t i = 0; i < from.size(); ++i)
        nearest[entry_of(i)] = std::min(nearest[entry_of(i)], distance(from[i], members));
      return front;
    };
    std::vector<std::size_t> front = measure(points, [](std::size_t i) { return i; });
    if (context != 0)
      continue;
    reference_front = thin(std::move(front), options.max_rows - 4, points);
    // Without a cloud the link does not matter: one context tells.
    measure(edge_points, [&](std::size_t i) { return edge_entries[i]; });
    for (const bool edge : {true, false})
      for (const std::size_t objective : {0u, 1u}) {
        std::size_t best = archive.size();
        for (std::size_t i = 0; i < archive.size(); ++i)
          if ((edge ? all_edge(archive[i].point) : all_cloud(archive[i].point)) &&
              std::isfinite(points[i][objective]) &&
              (best == archive.size() || points[i][objective] < points[best][objective]))
            best = i;
        if (best != archive.size())
          anchors.push_back(best);
      }
  }

  std::vector<bool> taken(archive.size(), false);
  std::vector<Kept> kept;
  const auto take = [&](std::size_t entry, bool on_front) {
    if (!taken[entry])
      kept.push_back({entry, on_front});
    taken[entry] = true;
  };
  for (const std::size_t entry : reference_front) take(entry, true);
  for (const std::size_t entry : anchors) take(entry, false);
  std::vector<std::size_t> rest;
  for (std::size_t i = 0; i < archive.size(); ++i)
    // A hair more than the margin, so that rounding does not drop a row that lies on it.
    if (!taken[i] && nearest[i] <= std::log1p(options.margin) + 1e-12)
      rest.push_back(i);
  std::stable_sort(rest.begin(), rest.end(),
                   [&](std::size_t a, std::size_t b) { return nearest[a] < nearest[b]; });
  for (const std::size_t entry : rest) {
    if (kept.size() >= options.max_rows)
      break;
    take(entry, false);
  }
  return kept;
}

}  // namespace cleave::inline v0::optimizer
