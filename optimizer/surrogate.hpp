// What a search expects of points that it has not looked at.
#pragma once

#include <cleave/optimizer/search.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Of points, noise not included.
struct Prediction {
  std::vector<double> means, deviations;
};

/// A Gaussian process over one objective (Rasmussen and Williams, Gaussian Processes for Machine
/// Learning, 2006, algorithm 2.1): a constant mean, and a covariance that is a product over
/// features of the variables.
///
/// - Numbers: c + (1 - c) times Matern 3/2 of the distance in levels relative to the range, which
/// is
///   as rough as measured latencies are. c is what levels far apart still share, as in an analysis
///   of variance: what a clock does is much the same at every cut.
/// - Words: one correlation if they differ; with three to eight values each value has its own
///   distinctness (off is far from std and max, which are close), so that the correlation of two is
///   the product of theirs (Roustant et al., Group kernels for Gaussian process metamodels with
///   categorical inputs, 2020, section 2).
/// - Either end of a number's range counts as a word of its own besides, since ends are often
/// cliffs
///   (all in the cloud is not nearly all in the cloud, off is not slow).
///
/// Length scales, shares, correlations and noise are those of the greatest marginal likelihood
/// times a weak prior, found coordinate by coordinate on a grid.
///
/// Not thread-safe. Fitting takes O(n^3) (parameters are searched on 160 of the points at most), a
/// prediction O(n) and its deviation O(n^2).
class Surrogate {
 public:
  explicit Surrogate(std::span<const Variable> variables);

  /// Replaces what was known. With `tune` the parameters are searched anew from where they are,
  /// else kept. Preconditions: at least one point, as many finite values.
  void fit(const std::vector<Point>& points, const std::vector<double>& values, bool tune);

  /// Of the values, at the parameters found, less n/2 ln 2 pi.
  [[nodiscard]] double log_likelihood() const { return log_likelihood_; }
  [[nodiscard]] double mean(const Point& point) const;
  [[nodiscard]] Prediction predict(const std::vector<Point>& points) const;

 private:
  // A variable's level, or whether it has a certain level.
  struct Feature {
    std::size_t variable = 0;
    std::uint32_t levels = 2;
    bool word = true;
    std::int64_t mark = -1;  // the level, or none
  };
  struct Shape {
    double scale = 1;
    double shared = 0;            // c of a number
    std::vector<double> decay{};  // the correlation by distance in levels; of words equal or not
  };

  [[nodiscard]] Point features(const Point& point) const;
  [[nodiscard]] static Shape shape_of(const Feature& feature, double scale, double shared);
  [[nodiscard]] static double correlation(const Feature& feature, const Shape& shape,
                                          std::uint32_t a, std::uint32_t b);
  [[nodiscard]] Eigen::MatrixXd correlations(std::size_t feature, const Shape& shape) const;
  [[nodiscard]] Eigen::MatrixXd product() const;
  [[nodiscard]] Eigen::VectorXd against(const Point& point) const;
  void tune();
  void tune(std::size_t feature, const Eigen::MatrixXd& others);
  void solve();

  std::vector<Feature> features_;
  std::vector<Shape> shapes_;  // of the features
  double noise_ = 1e-2;        // as a share of the variance
  std::vector<Point> points_;  // as features
  Eigen::VectorXd values_;
  double mean_ = 0, variance_ = 1, log_likelihood_ = 0;
  Eigen::MatrixXd factor_;   // lower Cholesky factor of the correlations with noise
  Eigen::VectorXd weights_;  // the correlations' inverse times the values less their mean
};

}  // namespace cleave::inline v0::optimizer
