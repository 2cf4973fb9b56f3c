// A sum of costs, each of which depends on few of the variables, told from few points.
#pragma once

#include "optimizer/surrogate.hpp"

#include <cleave/optimizer/search.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace cleave::inline v0::optimizer {

/// A Gaussian process over one cost whose logarithm is the objective. Latency and energy are sums
/// of parts: what is done before a cut, what is sent there, and what is done after it, and each
/// part depends on few of the variables. In the logarithm such a sum is no product of kernels; in
/// the cost itself it is a sum of them (Duvenaud, Nickisch and Rasmussen, Additive Gaussian
/// Processes, 2011), so the process is one over the cost, and its noise is a share of the cost.
///
/// With a variable that divides the work there are three parts: one rises from nothing at its first
/// level, one falls to nothing at its last, and one does neither. The first two are straight lines
/// plus Wiener processes, since each level adds an amount of work of its own (Rasmussen and
/// Williams 2006, sections 4.2 and B.2); the third is a constant plus Matern 3/2, apart at the
/// ends. Without such a variable there is one part. Each part is multiplied by a kernel of every
/// other variable, 1 - relevance + relevance x correlation, so that relevance 0 is a part that does
/// not depend on it: Matern 3/2 for numbers; for words one correlation if they differ, with three
/// to eight values the product of two values' distinctness, as in Surrogate.
///
/// Amplitudes, relevances, lengths and the noise are those of the greatest marginal likelihood
/// times a weak prior, found coordinate by coordinate on a grid. Which variable divides the work,
/// if one does, is for the caller to choose by log_likelihood().
///
/// Not thread-safe. Fitting takes O(n^3), a prediction O(n) and its deviation O(n^2).
class PartsSurrogate {
 public:
  /// `divides`: the variable that divides the work, with three levels or more, or none.
  PartsSurrogate(std::span<const Variable> variables, std::optional<std::size_t> divides);

  /// Replaces what was known; `values` are logarithms, and less than 100 apart. With `tune` the
  /// parameters are searched anew from where they are, else kept. Preconditions: at least one
  /// point, as many finite values.
  void fit(const std::vector<Point>& points, const std::vector<double>& values, bool tune);

  /// Of the values, as logarithms, at the parameters found, less n/2 ln 2 pi; -infinity if they
  /// cannot be fitted, and then nothing can be predicted.
  [[nodiscard]] double log_likelihood() const { return log_likelihood_; }
  /// Of the logarithm. A mean that is not above half of the least cost known counts as that.
  [[nodiscard]] double mean(const Point& point) const;
  /// Of the logarithm.
  [[nodiscard]] Prediction predict(const std::vector<Point>& points) const;

 private:
  // What a part depends on besides the dividing variable.
  struct Feature {
    std::size_t variable = 0;
    std::uint32_t levels = 2;
    bool word = true;
    std::int64_t mark = -1;  // the level that it is or is not, or none
  };
  enum class Trend { flat, rising, falling };
  // A parameter's place on its grid.
  struct Settings {
    std::size_t amplitude = 0, roughness = 0;
    std::vector<std::size_t> relevance{}, length{};  // of the features
  };
  struct Part {
    Trend trend = Trend::flat;
    Settings at{};
    std::vector<double> along{};               // by pairs of levels of the dividing variable
    std::vector<std::vector<double>> decay{};  // of a feature, by distance in levels
  };

  void set_along(Part& part) const;
  void set_decay(Part& part) const;
  [[nodiscard]] double along(const Part& part, std::uint32_t a, std::uint32_t b) const;
  [[nodiscard]] double covariance(const Part& part, const Point& a, const Point& b) const;
  [[nodiscard]] Eigen::MatrixXd covariances(const Part& part) const;
  [[nodiscard]] Eigen::VectorXd against(const Point& point) const;
  [[nodiscard]] double prior() const;
  // The logarithm of likelihood times prior of the parts as they are.
  double posterior();
  void tune(int sweeps);
  bool attempt(std::size_t part, Settings settings);

  std::optional<std::size_t> divides_;
  std::uint32_t last_ = 1;  // the dividing variable's last level
  std::vector<Feature> features_;
  std::vector<Part> parts_;
  std::size_t noise_;
  bool tuned_ = false;
  std::vector<Point> points_;
  Eigen::VectorXd values_;  // as shares of scale_
  double scale_ = 1, least_ = 1;
  std::vector<Eigen::MatrixXd> covariances_;  // of the parts
  double posterior_ = 0, log_likelihood_ = 0;
  Eigen::MatrixXd factor_;  // lower Cholesky factor of the covariances with noise
  Eigen::VectorXd weights_;
};

}  // namespace cleave::inline v0::optimizer
