#include "optimizer/observation_space.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace cleave::inline v0::optimizer {

using core::Errc;
using core::fail;
using core::Result;

Result<ObservationSpace> ObservationSpace::make(const table::Observations& observations,
                                                double accuracy_floor, double accuracy_step) {
  ObservationSpace space(observations, accuracy_step);
  for (const core::Knob& knob : observations.knobs)
    space.variables_.push_back({.name = knob.name,
                                .levels = static_cast<std::uint32_t>(knob.levels.size()),
                                .word = knob.categorical});
  for (std::size_t i = 0; i < observations.configurations.size(); ++i) {
    const table::ObservedConfiguration& configuration = observations.configurations[i];
    if (table::mean_of(configuration).accuracy < accuracy_floor)
      continue;
    Point point(configuration.levels.begin(), configuration.levels.end());
    space.index_.emplace(point, i);
    space.points_.push_back(std::move(point));
  }
  if (space.points_.empty())
    return fail(Errc::invalid_argument, "no configuration reaches the accuracy floor",
                observations.name, "lower the floor");
  std::sort(space.points_.begin(), space.points_.end());
  return space;
}

void ObservationSpace::canonicalise(Point& point) const {
  if (index_.contains(point))
    return;
  std::pair nearest(std::numeric_limits<int>::max(), 0.0);
  const Point* found = nullptr;
  for (const Point& other : points_) {
    std::pair apart(0, 0.0);
    for (std::size_t v = 0; v < variables_.size(); ++v) {
      if (variables_[v].word)
        apart.first += other[v] != point[v];
      else if (variables_[v].levels > 1)
        apart.second += std::abs(static_cast<double>(other[v]) - static_cast<double>(point[v])) /
                        (variables_[v].levels - 1);
    }
    if (found == nullptr || apart < nearest) {
      nearest = apart;
      found = &other;
    }
  }
  point = *found;
}

Objectives ObservationSpace::evaluate(const Point& point) const {
  const table::ObservedRun mean = table::mean_of(configuration(point));
  Objectives objectives = {std::log(mean.latency.count()), std::log(mean.energy.count())};
  if (observations_->has_accuracy)
    objectives.push_back(std::round((1 - mean.accuracy) / accuracy_step_));
  return objectives;
}

const table::ObservedConfiguration& ObservationSpace::configuration(const Point& point) const {
  return observations_->configurations[index_.at(point)];
}

}  // namespace cleave::inline v0::optimizer
