#include "optimizer/surrogate.hpp"

#include <Eigen/Cholesky>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace cleave::inline v0::optimizer {
namespace {

// Of the range of a number's levels.
constexpr std::array length_scales = {0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 6.0};
// -ln of the correlation between two different words.
constexpr std::array word_scales = {0.01, 0.05, 0.15, 0.4, 1.0, 2.5};
constexpr std::array noises = {1e-4, 1e-3, 1e-2, 5e-2, 0.2};

constexpr double usual_length = 0.6;
constexpr double usual_word = 0.3;

// The likelihood of values whose correlations are K + noise I, with the best mean and variance.
struct Likelihood {
  double logarithm = -std::numeric_limits<double>::infinity();
  double mean = 0, variance = 1;
};

Likelihood likelihood_of(const Eigen::MatrixXd& correlations, const Eigen::VectorXd& values) {
  const Eigen::LLT<Eigen::MatrixXd> factor(correlations);
  if (factor.info() != Eigen::Success)
    return {};
  const auto n = static_cast<double>(values.size());
  const Eigen::VectorXd ones = Eigen::VectorXd::Ones(values.size());
  const Eigen::VectorXd weighed = factor.solve(ones);
  Likelihood out;
  out.mean = weighed.dot(values) / weighed.sum();
  const Eigen::VectorXd rest = values - out.mean * ones;
  out.variance = std::max(1e-12, rest.dot(factor.solve(rest)) / n);
  const double determinant = factor.matrixLLT().diagonal().array().log().sum();
  out.logarithm = -0.5 * n * std::log(out.variance) - determinant;
  return out;
}

// Log-normal around the usual scale, e-fold wide: few points leave much open.
double prior(bool word, double scale) {
  const double off = std::log(scale / (word ? usual_word : usual_length));
  return -0.5 * off * off / (1.2 * 1.2);
}

}  // namespace

Surrogate::Surrogate(std::span<const Variable> variables)
    : variables_(variables.begin(), variables.end()) {
  // Of three levels or fewer the ends are most of the range.
  for (std::size_t v = 0; v < variables.size(); ++v)
    if (!variables[v].word && variables[v].levels > 3)
      for (const std::uint32_t level : {0u, variables[v].levels - 1}) {
        ends_.push_back({v, level});
        variables_.push_back({.name = {}, .levels = 2, .word = true});
      }
  for (const Variable& variable : variables_)
    parameters_.scales.push_back(variable.word ? usual_word : usual_length);
}

Point Surrogate::features(const Point& point) const {
  Point out = point;
  for (const End& end : ends_) out.push_back(point[end.variable] == end.level ? 1 : 0);
  return out;
}

double Surrogate::correlation(std::size_t variable, double scale, std::uint32_t a,
                              std::uint32_t b) const {
  if (a == b)
    return 1;
  if (variables_[variable].word)
    return std::exp(-scale);
  const double range = variables_[variable].levels - 1;
  const double apart =
      std::sqrt(3.0) * std::abs(static_cast<double>(a) - static_cast<double>(b)) / (range * scale);
  return (1 + apart) * std::exp(-apart);
}

Eigen::MatrixXd Surrogate::correlations(std::size_t variable, double scale) const {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd out(n, n);
  for (Eigen::Index i = 0; i < n; ++i)
    for (Eigen::Index j = 0; j <= i; ++j)
      out(i, j) = out(j, i) =
          correlation(variable, scale, points_[static_cast<std::size_t>(i)][variable],
                      points_[static_cast<std::size_t>(j)][variable]);
  return out;
}

void Surrogate::fit(const std::vector<Point>& points, const std::vector<double>& values,
                    bool tune) {
  points_.clear();
  for (const Point& point : points) points_.push_back(features(point));
  values_ =
      Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Eigen::Index>(values.size()));
  if (tune)
    this->tune();
  solve();
}

void Surrogate::tune() {
  const auto n = static_cast<Eigen::Index>(points_.size());
  std::vector<Eigen::MatrixXd> parts;
  for (std::size_t v = 0; v < variables_.size(); ++v)
    parts.push_back(correlations(v, parameters_.scales[v]));
  const auto product_without = [&](std::size_t left_out) {
    Eigen::MatrixXd product = Eigen::MatrixXd::Ones(n, n);
    for (std::size_t v = 0; v < parts.size(); ++v)
      if (v != left_out)
        product.array() *= parts[v].array();
    return product;
  };
  const auto noisy = [&](Eigen::MatrixXd product, double noise) {
    product.diagonal().array() += noise;
    return product;
  };
  for (int sweep = 0; sweep < 2; ++sweep) {
    for (std::size_t v = 0; v < variables_.size(); ++v) {
      if (variables_[v].levels == 1)
        continue;
      const bool word = variables_[v].word;
      const std::span<const double> grid =
          word ? std::span<const double>(word_scales) : std::span<const double>(length_scales);
      const Eigen::MatrixXd others = product_without(v);
      double best = -std::numeric_limits<double>::infinity();
      for (const double scale : grid) {
        Eigen::MatrixXd part = correlations(v, scale);
        const double found =
            likelihood_of(noisy(others.cwiseProduct(part), parameters_.noise), values_).logarithm +
            prior(word, scale);
        if (found > best) {
          best = found;
          parameters_.scales[v] = scale;
          parts[v] = std::move(part);
        }
      }
    }
    const Eigen::MatrixXd all = product_without(variables_.size());
    double best = -std::numeric_limits<double>::infinity();
    for (const double noise : noises) {
      const double found = likelihood_of(noisy(all, noise), values_).logarithm;
      if (found > best) {
        best = found;
        parameters_.noise = noise;
      }
    }
  }
}

void Surrogate::solve() {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd all = Eigen::MatrixXd::Ones(n, n);
  for (std::size_t v = 0; v < variables_.size(); ++v)
    all.array() *= correlations(v, parameters_.scales[v]).array();
  all.diagonal().array() += parameters_.noise;
  const Likelihood found = likelihood_of(all, values_);
  mean_ = found.mean;
  variance_ = found.variance;
  const Eigen::LLT<Eigen::MatrixXd> factor(all);
  factor_ = factor.matrixL();
  weights_ = factor.solve(values_ - Eigen::VectorXd::Constant(n, mean_));
}

Eigen::VectorXd Surrogate::against(const Point& point) const {
  const Point levels = features(point);
  Eigen::VectorXd out(static_cast<Eigen::Index>(points_.size()));
  for (std::size_t i = 0; i < points_.size(); ++i) {
    double product = 1;
    for (std::size_t v = 0; v < variables_.size(); ++v)
      product *= correlation(v, parameters_.scales[v], points_[i][v], levels[v]);
    out[static_cast<Eigen::Index>(i)] = product;
  }
  return out;
}

double Surrogate::mean(const Point& point) const {
  return mean_ + against(point).dot(weights_);
}

Surrogate::Prediction Surrogate::predict(const std::vector<Point>& points) const {
  Eigen::MatrixXd cross(factor_.rows(), static_cast<Eigen::Index>(points.size()));
  for (std::size_t i = 0; i < points.size(); ++i)
    cross.col(static_cast<Eigen::Index>(i)) = against(points[i]);
  const Eigen::VectorXd means = cross.transpose() * weights_;
  factor_.triangularView<Eigen::Lower>().solveInPlace(cross);
  const Eigen::VectorXd known = cross.colwise().squaredNorm();
  Prediction out;
  for (Eigen::Index i = 0; i < means.size(); ++i) {
    out.means.push_back(mean_ + means[i]);
    out.deviations.push_back(
        std::sqrt(variance_ * std::max(0.0, 1 + parameters_.noise - known[i])));
  }
  return out;
}

}  // namespace cleave::inline v0::optimizer
