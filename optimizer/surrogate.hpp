// What a search expects of points that it has not looked at.
#pragma once

#include <cleave/optimizer/search.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <span>
#include <vector>

namespace cleave::inline v0::optimizer {

/// A Gaussian process over one objective (Rasmussen and Williams, Gaussian Processes for Machine
/// Learning, 2006, algorithm 2.1): a constant mean, and a covariance that is a product over the
/// variables. Numbers: Matern 3/2 of the distance in levels relative to the range, which is as
/// rough as measured latencies are; words: one correlation for any two that differ. Either end of a
/// number's range counts as a word of its own besides, since ends are often cliffs (all in the
/// cloud is not nearly all in the cloud, off is not slow). Length scales, correlations and noise
/// are those of the greatest marginal likelihood times a weak prior, found coordinate by coordinate
/// on a grid.
///
/// Not thread-safe. Fitting takes O(n^3), a prediction O(n) and its deviation O(n^2).
class Surrogate {
 public:
  explicit Surrogate(std::span<const Variable> variables);

  /// Replaces what was known. With `tune` the parameters are searched anew from where they are,
  /// else kept. Preconditions: at least one point, as many finite values.
  void fit(const std::vector<Point>& points, const std::vector<double>& values, bool tune);

  [[nodiscard]] double mean(const Point& point) const;
  struct Prediction {
    std::vector<double> means, deviations;  ///< of looking at the point once, noise included
  };
  [[nodiscard]] Prediction predict(const std::vector<Point>& points) const;

 private:
  // One parameter per feature, and the share of the variance that is noise.
  struct Parameters {
    std::vector<double> scales;
    double noise = 1e-2;
  };

  // The point's levels, and whether numbers are at an end.
  [[nodiscard]] Point features(const Point& point) const;
  [[nodiscard]] double correlation(std::size_t variable, double scale, std::uint32_t a,
                                   std::uint32_t b) const;
  [[nodiscard]] Eigen::MatrixXd correlations(std::size_t variable, double scale) const;
  [[nodiscard]] Eigen::VectorXd against(const Point& point) const;
  void tune();
  void solve();

  struct End {
    std::size_t variable;
    std::uint32_t level;
  };
  std::vector<Variable> variables_;  // the space's, then a word for each end
  std::vector<End> ends_;
  Parameters parameters_;
  std::vector<Point> points_;  // as features
  Eigen::VectorXd values_;
  double mean_ = 0, variance_ = 1;
  Eigen::MatrixXd factor_;   // lower Cholesky factor of the correlations with noise
  Eigen::VectorXd weights_;  // the correlations' inverse times the values less their mean
};

}  // namespace cleave::inline v0::optimizer
