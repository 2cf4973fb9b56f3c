#include <cleave/optimizer/front.hpp>

#include <pagmo/utils/hypervolume.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cleave::inline v0::optimizer {
namespace {

bool finite(const std::vector<double>& point) {
  return std::all_of(point.begin(), point.end(), [](double v) { return std::isfinite(v); });
}

// No worse in anything: dominates, or is equal.
bool covers(const std::vector<double>& a, const std::vector<double>& b) {
  for (std::size_t k = 0; k < a.size(); ++k)
    if (a[k] > b[k])
      return false;
  return true;
}

}  // namespace

std::vector<std::size_t> pareto_front(std::span<const std::vector<double>> points) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (finite(points[i]))
      order.push_back(i);
  // Whatever dominates a point comes before it in lexicographic order.
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return points[a] < points[b]; });
  std::vector<std::size_t> front;
  for (const std::size_t i : order) {
    // With two objectives the last one accepted has the least second objective so far.
    const bool dominated = points[i].size() == 2
                               ? !front.empty() && covers(points[front.back()], points[i])
                               : std::any_of(front.begin(), front.end(), [&](std::size_t f) {
                                   return covers(points[f], points[i]);
                                 });
    if (!dominated)
      front.push_back(i);
  }
  std::sort(front.begin(), front.end());
  return front;
}

double hypervolume(std::span<const std::vector<double>> points, const std::vector<double>& ideal,
                   const std::vector<double>& reference) {
  std::vector<std::size_t> used;
  for (std::size_t k = 0; k < ideal.size(); ++k)
    if (reference[k] > ideal[k])
      used.push_back(k);
  std::vector<std::vector<double>> scaled;
  for (const std::vector<double>& point : points) {
    if (!finite(point))
      continue;
    std::vector<double> s;
    for (const std::size_t k : used)
      s.push_back(std::max(0.0, (point[k] - ideal[k]) / (reference[k] - ideal[k])));
    // On or beyond the reference it covers nothing.
    if (std::all_of(s.begin(), s.end(), [](double v) { return v < 1; }))
      scaled.push_back(std::move(s));
  }
  if (scaled.empty())
    return 0;
  if (used.empty())
    return 1;
  if (used.size() == 1)
    return 1 - (*std::min_element(scaled.begin(), scaled.end()))[0];
  std::vector<std::vector<double>> front;
  for (const std::size_t i : pareto_front(scaled)) front.push_back(scaled[i]);
  return pagmo::hypervolume(front).compute(std::vector<double>(used.size(), 1.0));
}

}  // namespace cleave::inline v0::optimizer
