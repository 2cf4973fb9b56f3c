// The configurations that observations hold, as a space to search.
#pragma once

#include "optimizer/archive.hpp"

#include <cleave/optimizer/search.hpp>
#include <cleave/table/observations.hpp>

#include <cstddef>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Variables: the knobs. A setting that was not observed stands for the nearest that was: as many
/// equal words as possible, then the least sum of distances between numbers, each relative to its
/// knob's range of levels. Objectives: ln of the mean seconds, ln of the mean joules, and the steps
/// of mean accuracy lost where it was observed.
///
/// The observations must outlive it. Thread-safe.
class ObservationSpace final : public Space {
 public:
  /// Configurations below the accuracy floor are not feasible. Errc::invalid_argument: then none
  /// is left.
  static core::Result<ObservationSpace> make(const table::Observations& observations,
                                             double accuracy_floor, double accuracy_step);

  [[nodiscard]] std::span<const Variable> variables() const override { return variables_; }
  void canonicalise(Point& point) const override;
  [[nodiscard]] std::uint64_t size() const override { return points_.size(); }
  [[nodiscard]] std::span<const Point> listed() const override { return points_; }
  [[nodiscard]] Objectives evaluate(const Point& point) const override;
  [[nodiscard]] std::size_t contexts() const override { return 1; }
  [[nodiscard]] std::size_t objectives() const override {
    return observations_->has_accuracy ? 3 : 2;
  }

  [[nodiscard]] const table::ObservedConfiguration& configuration(const Point& point) const;

 private:
  ObservationSpace(const table::Observations& observations, double accuracy_step)
      : observations_(&observations), accuracy_step_(accuracy_step) {}

  const table::Observations* observations_;
  double accuracy_step_;
  std::vector<Variable> variables_;
  std::vector<Point> points_;  // ascending, so that nothing depends on the order of the file
  std::unordered_map<Point, std::size_t, PointHash> index_;  // in Observations::configurations
};

}  // namespace cleave::inline v0::optimizer
