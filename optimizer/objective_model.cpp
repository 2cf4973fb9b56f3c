#include "optimizer/objective_model.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace cleave::inline v0::optimizer {
namespace {

// Up to so many points the models are compared anew, which tunes each of them.
constexpr std::size_t most_compared = 40;
// Beyond, a search knows the neighbourhood of its front, and parts would take too long.
constexpr std::size_t most_by_parts = 200;
// Values further apart are no logarithms of a cost, or of no use as one.
constexpr double widest = 30;
// Of fewer levels little lies between the ends; the tables of more would be large.
constexpr std::uint32_t least_levels = 4, most_levels = 256;

}  // namespace

ObjectiveModel::ObjectiveModel(std::span<const Variable> variables) : whole_(variables) {
  parts_.emplace_back(variables, std::nullopt);
  for (std::size_t v = 0; v < variables.size(); ++v)
    if (!variables[v].word && variables[v].levels >= least_levels &&
        variables[v].levels <= most_levels)
      parts_.emplace_back(variables, v);
  chosen_ = parts_.size();
}

void ObjectiveModel::fit(const std::vector<Point>& points, const std::vector<double>& values,
                         bool tune) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  if (points.size() > most_by_parts || *most - *least > widest) {
    chosen_ = parts_.size();
  } else if (tune && (!compared_ || points.size() <= most_compared)) {
    whole_.fit(points, values, true);
    whole_tuned_ = compared_ = true;
    chosen_ = parts_.size();
    double best = whole_.log_likelihood();
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      parts_[p].fit(points, values, true);
      if (parts_[p].log_likelihood() > best) {
        best = parts_[p].log_likelihood();
        chosen_ = p;
      }
    }
    return;
  }
  if (by_parts()) {
    parts_[chosen_].fit(points, values, tune);
    if (std::isfinite(parts_[chosen_].log_likelihood()))
      return;
    chosen_ = parts_.size();
  }
  whole_.fit(points, values, tune || !whole_tuned_);
  whole_tuned_ = true;
}

double ObjectiveModel::mean(const Point& point) const {
  return by_parts() ? parts_[chosen_].mean(point) : whole_.mean(point);
}

Prediction ObjectiveModel::predict(const std::vector<Point>& points) const {
  return by_parts() ? parts_[chosen_].predict(points) : whole_.predict(points);
}

}  // namespace cleave::inline v0::optimizer
