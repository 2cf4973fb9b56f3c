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
// Of a number's variance, what all its levels share.
constexpr std::array shares = {0.0, 0.5, 0.85};
// -ln of the correlation between two different words.
constexpr std::array word_scales = {0.01, 0.05, 0.15, 0.4, 1.0, 2.5};
constexpr std::array noises = {1e-5, 1e-4, 1e-3, 1e-2, 5e-2, 0.2};

constexpr double usual_length = 0.6;
constexpr double usual_word = 0.3;
// More values than these are too many to tell apart by a few points.
constexpr std::uint32_t most_distinct = 8;
// Points that parameters are searched on: some hundred likelihoods are compared, each in O(n^3),
// and this many points tell a dozen parameters as well as more would.
constexpr std::size_t most_tuned = 160;

// The likelihood of values whose correlations are K + noise I, with the best mean and variance.
struct Likelihood {
  double logarithm = -std::numeric_limits<double>::infinity();
  double mean = 0, variance = 1;
};

Likelihood likelihood_of(const Eigen::LLT<Eigen::MatrixXd>& factor, const Eigen::VectorXd& values) {
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

Likelihood likelihood_of(const Eigen::MatrixXd& correlations, const Eigen::VectorXd& values) {
  return likelihood_of(Eigen::LLT<Eigen::MatrixXd>(correlations), values);
}

// Log-normal around the usual scale, e-fold wide: few points leave much open.
double prior(bool word, double scale) {
  const double off = std::log(scale / (word ? usual_word : usual_length));
  return -0.5 * off * off / (1.2 * 1.2);
}

}  // namespace

Surrogate::Surrogate(std::span<const Variable> variables) {
  for (std::size_t v = 0; v < variables.size(); ++v) {
    const std::uint32_t levels = variables[v].levels;
    const auto mark = [&](std::uint32_t level) {
      features_.push_back({.variable = v, .levels = 2, .word = true, .mark = level});
    };
    if (levels == 1)
      continue;
    if (variables[v].word && levels > 2 && levels <= most_distinct) {
      for (std::uint32_t level = 0; level < levels; ++level) mark(level);
      continue;
    }
    features_.push_back({.variable = v, .levels = levels, .word = variables[v].word});
    // Of three levels or fewer the ends are most of the range.
    if (!variables[v].word && levels > 3)
      for (const std::uint32_t level : {0u, levels - 1}) mark(level);
  }
  for (const Feature& feature : features_)
    shapes_.push_back(shape_of(feature, feature.word ? usual_word : usual_length, 0));
}

Point Surrogate::features(const Point& point) const {
  Point out;
  for (const Feature& feature : features_)
    out.push_back(feature.mark < 0                          ? point[feature.variable]
                  : point[feature.variable] == feature.mark ? 1
                                                            : 0);
  return out;
}

Surrogate::Shape Surrogate::shape_of(const Feature& feature, double scale, double shared) {
  Shape out{.scale = scale, .shared = shared};
  if (feature.word) {
    out.decay = {1, std::exp(-scale)};
    return out;
  }
  for (std::uint32_t distance = 0; distance < feature.levels; ++distance) {
    const double apart = std::sqrt(3.0) * distance / ((feature.levels - 1) * scale);
    out.decay.push_back(shared + (1 - shared) * (1 + apart) * std::exp(-apart));
  }
  return out;
}

double Surrogate::correlation(const Feature& feature, const Shape& shape, std::uint32_t a,
                              std::uint32_t b) {
  return feature.word ? shape.decay[a != b] : shape.decay[a < b ? b - a : a - b];
}

Eigen::MatrixXd Surrogate::correlations(std::size_t feature, const Shape& shape) const {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd out(n, n);
  for (Eigen::Index i = 0; i < n; ++i)
    for (Eigen::Index j = 0; j <= i; ++j)
      out(i, j) = out(j, i) =
          correlation(features_[feature], shape, points_[static_cast<std::size_t>(i)][feature],
                      points_[static_cast<std::size_t>(j)][feature]);
  return out;
}

Eigen::MatrixXd Surrogate::product() const {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd out = Eigen::MatrixXd::Ones(n, n);
  for (std::size_t f = 0; f < features_.size(); ++f)
    out.array() *= correlations(f, shapes_[f]).array();
  return out;
}

void Surrogate::fit(const std::vector<Point>& points, const std::vector<double>& values,
                    bool tune) {
  // Of many points some, the first and the last among them.
  const auto take = [&](std::size_t count) {
    points_.clear();
    values_.resize(static_cast<Eigen::Index>(count));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t from = count == 1 ? 0 : i * (points.size() - 1) / (count - 1);
      points_.push_back(features(points[from]));
      values_[static_cast<Eigen::Index>(i)] = values[from];
    }
  };
  if (tune) {
    take(std::min(points.size(), most_tuned));
    this->tune();
  }
  take(points.size());
  solve();
}

void Surrogate::tune(std::size_t feature, const Eigen::MatrixXd& others) {
  const Feature& about = features_[feature];
  double best = -std::numeric_limits<double>::infinity();
  const auto attempt = [&](double scale, double shared) {
    Shape shape = shape_of(about, scale, shared);
    Eigen::MatrixXd all = others.cwiseProduct(correlations(feature, shape));
    all.diagonal().array() += noise_;
    const double found = likelihood_of(all, values_).logarithm + prior(about.word, scale);
    if (found > best) {
      best = found;
      shapes_[feature] = std::move(shape);
    }
  };
  if (about.word) {
    for (const double scale : word_scales) attempt(scale, 0);
    return;
  }
  for (const double shared : shares)
    for (const double scale : length_scales) attempt(scale, shared);
}

void Surrogate::tune() {
  for (int sweep = 0; sweep < 2; ++sweep) {
    for (std::size_t f = 0; f < features_.size(); ++f)
      // No correlation is 0, so the others' product is all of them over this one's.
      tune(f, product().cwiseQuotient(correlations(f, shapes_[f])));
    const Eigen::MatrixXd all = product();
    double best = -std::numeric_limits<double>::infinity();
    for (const double noise : noises) {
      Eigen::MatrixXd noisy = all;
      noisy.diagonal().array() += noise;
      const double found = likelihood_of(noisy, values_).logarithm;
      if (found > best) {
        best = found;
        noise_ = noise;
      }
    }
  }
}

void Surrogate::solve() {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd all = product();
  all.diagonal().array() += noise_;
  const Eigen::LLT<Eigen::MatrixXd> factor(all);
  const Likelihood found = likelihood_of(factor, values_);
  mean_ = found.mean;
  variance_ = found.variance;
  log_likelihood_ = found.logarithm - 0.5 * static_cast<double>(n);
  factor_ = factor.matrixL();
  weights_ = factor.solve(values_ - Eigen::VectorXd::Constant(n, mean_));
}

Eigen::VectorXd Surrogate::against(const Point& point) const {
  const Point levels = features(point);
  Eigen::VectorXd out(static_cast<Eigen::Index>(points_.size()));
  for (std::size_t i = 0; i < points_.size(); ++i) {
    double product = 1;
    for (std::size_t f = 0; f < features_.size(); ++f)
      product *= correlation(features_[f], shapes_[f], points_[i][f], levels[f]);
    out[static_cast<Eigen::Index>(i)] = product;
  }
  return out;
}

double Surrogate::mean(const Point& point) const {
  return mean_ + against(point).dot(weights_);
}

Prediction Surrogate::predict(const std::vector<Point>& points) const {
  Eigen::MatrixXd cross(factor_.rows(), static_cast<Eigen::Index>(points.size()));
  for (std::size_t i = 0; i < points.size(); ++i)
    cross.col(static_cast<Eigen::Index>(i)) = against(points[i]);
  const Eigen::VectorXd means = cross.transpose() * weights_;
  factor_.triangularView<Eigen::Lower>().solveInPlace(cross);
  const Eigen::VectorXd known = cross.colwise().squaredNorm();
  Prediction out;
  for (Eigen::Index i = 0; i < means.size(); ++i) {
    out.means.push_back(mean_ + means[i]);
    // Without the noise: another look would not be better for being luckier, and a search that
    // hopes for luck spends its looks where it knows the most noise and not the least.
    out.deviations.push_back(std::sqrt(variance_ * std::max(1e-9, 1 - known[i])));
  }
  return out;
}

}  // namespace cleave::inline v0::optimizer
