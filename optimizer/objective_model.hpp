// What a search expects of one objective: the surrogate that explains what it has seen best.
#pragma once

#include "optimizer/parts.hpp"
#include "optimizer/surrogate.hpp"

#include <cleave/optimizer/search.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Chooses by likelihood, given at most a few dozen points, among a Surrogate of the objective as
/// it is and PartsSurrogates of its exponential: one for each number that may divide the work, and
/// one without. From hundreds of points, or of values too far apart for logarithms of a cost, it is
/// the Surrogate. What variables are called plays no part.
///
/// Not thread-safe.
class ObjectiveModel {
 public:
  explicit ObjectiveModel(std::span<const Variable> variables);

  /// As Surrogate::fit().
  void fit(const std::vector<Point>& points, const std::vector<double>& values, bool tune);

  [[nodiscard]] double mean(const Point& point) const;
  [[nodiscard]] Prediction predict(const std::vector<Point>& points) const;

 private:
  [[nodiscard]] bool by_parts() const { return chosen_ < parts_.size(); }

  Surrogate whole_;
  bool whole_tuned_ = false;
  std::vector<PartsSurrogate> parts_;
  std::size_t chosen_;  // of the parts, or their number: the whole
  bool compared_ = false;
};

}  // namespace cleave::inline v0::optimizer
