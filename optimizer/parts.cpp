#include "optimizer/parts.hpp"

#include <Eigen/Cholesky>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

// Of a part, in units of the root mean square of the costs.
constexpr std::array amplitudes = {0.01, 0.03, 0.1, 0.3, 1.0, 3.0};
// Of a part's variance along the dividing variable, what is not a straight line or a constant.
constexpr std::array roughnesses = {0.003, 0.03, 0.1, 0.3, 0.6, 1.0};
constexpr std::array number_relevances = {1e-4, 1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0};
// -ln of the correlation between two different words.
constexpr std::array word_relevances = {1e-4, 1e-3, 1e-2, 0.05, 0.2, 1.0, 3.0};
// Of the range of a number's levels.
constexpr std::array lengths = {0.3, 0.6, 1.2, 3.0};
// Of a cost.
constexpr std::array noises = {0.003, 0.006, 0.012, 0.025, 0.05, 0.1, 0.2};

// Places on the grids where a search for parameters begins.
constexpr std::size_t first_amplitude = 3, first_roughness = 3, first_number = 3, first_word = 2,
                      first_length = 2, first_noise = 2;
// Along the dividing variable, of what neither rises nor falls.
constexpr double flat_length = 0.3;
// The correlation of a flat part at one of the ends with it anywhere else: nothing crosses there.
constexpr double end_correlation = 0.7;
constexpr std::uint32_t most_distinct = 8;

double matern(double apart) {
  return (1 + std::sqrt(3.0) * apart) * std::exp(-std::sqrt(3.0) * apart);
}

// Log-normal, e^width-fold wide.
double log_prior(double value, double usual, double width) {
  const double off = std::log(value / usual) / width;
  return -0.5 * off * off;
}

}  // namespace

PartsSurrogate::PartsSurrogate(std::span<const Variable> variables,
                               std::optional<std::size_t> divides)
    : divides_(divides), noise_(first_noise) {
  if (divides)
    last_ = variables[*divides].levels - 1;
  for (std::size_t v = 0; v < variables.size(); ++v) {
    const Variable& variable = variables[v];
    if (variable.levels == 1 || v == divides)
      continue;
    if (variable.word && variable.levels > 2 && variable.levels <= most_distinct)
      for (std::uint32_t level = 0; level < variable.levels; ++level)
        features_.push_back({.variable = v, .mark = level});
    else
      features_.push_back({.variable = v, .levels = variable.levels, .word = variable.word});
  }
  Settings settings{.amplitude = first_amplitude, .roughness = first_roughness};
  for (const Feature& feature : features_) {
    settings.relevance.push_back(feature.word ? first_word : first_number);
    settings.length.push_back(first_length);
  }
  if (divides)
    for (const Trend trend : {Trend::rising, Trend::falling})
      parts_.push_back({.trend = trend, .at = settings});
  settings.amplitude = divides ? first_amplitude - 1 : first_amplitude + 1;
  parts_.push_back({.trend = Trend::flat, .at = settings});
  for (Part& part : parts_) {
    set_along(part);
    set_decay(part);
  }
}

void PartsSurrogate::set_decay(Part& part) const {
  const Settings& at = part.at;
  part.decay.resize(features_.size());
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const Feature& feature = features_[f];
    std::vector<double>& decay = part.decay[f];
    decay.clear();
    if (feature.word) {
      decay = {1, std::exp(-word_relevances[at.relevance[f]])};
      continue;
    }
    const double relevance = number_relevances[at.relevance[f]];
    for (std::uint32_t distance = 0; distance < feature.levels; ++distance)
      decay.push_back(1 - relevance +
                      relevance *
                          matern(distance / ((feature.levels - 1) * lengths[at.length[f]])));
  }
}

void PartsSurrogate::set_along(Part& part) const {
  const double amplitude = amplitudes[part.at.amplitude];
  part.along.clear();
  if (!divides_) {
    part.along = {amplitude * amplitude};
    return;
  }
  for (std::uint32_t a = 0; a <= last_; ++a)
    for (std::uint32_t b = 0; b <= last_; ++b) part.along.push_back(along(part, a, b));
}

double PartsSurrogate::along(const Part& part, std::uint32_t a, std::uint32_t b) const {
  const double variance = amplitudes[part.at.amplitude] * amplitudes[part.at.amplitude];
  const double rough = roughnesses[part.at.roughness];
  double x = static_cast<double>(a) / last_, y = static_cast<double>(b) / last_;
  if (part.trend == Trend::flat) {
    double out = variance * (1 - rough + rough * matern(std::abs(x - y) / flat_length));
    for (const std::uint32_t end : {0u, last_})
      if ((a == end) != (b == end))
        out *= end_correlation;
    return out;
  }
  if (part.trend == Trend::falling) {
    x = 1 - x;
    y = 1 - y;
  }
  return variance * ((1 - rough) * x * y + rough * std::min(x, y));
}

double PartsSurrogate::covariance(const Part& part, const Point& a, const Point& b) const {
  double out = divides_ ? part.along[a[*divides_] * (last_ + 1) + b[*divides_]] : part.along[0];
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const Feature& feature = features_[f];
    const std::uint32_t u = a[feature.variable], v = b[feature.variable];
    if (feature.mark >= 0)
      out *= part.decay[f][(u == feature.mark) != (v == feature.mark)];
    else
      out *= part.decay[f][feature.word ? u != v : u < v ? v - u : u - v];
  }
  return out;
}

Eigen::MatrixXd PartsSurrogate::covariances(const Part& part) const {
  const auto n = static_cast<Eigen::Index>(points_.size());
  Eigen::MatrixXd out(n, n);
  for (Eigen::Index i = 0; i < n; ++i)
    for (Eigen::Index j = 0; j <= i; ++j)
      out(i, j) = out(j, i) = covariance(part, points_[static_cast<std::size_t>(i)],
                                         points_[static_cast<std::size_t>(j)]);
  return out;
}

double PartsSurrogate::prior() const {
  double out = log_prior(noises[noise_], 0.012, 0.7);
  for (const Part& part : parts_) {
    const Settings& at = part.at;
    out +=
        log_prior(amplitudes[at.amplitude], 0.3, 2) + log_prior(roughnesses[at.roughness], 0.3, 2);
    for (std::size_t f = 0; f < features_.size(); ++f)
      out += features_[f].word ? log_prior(word_relevances[at.relevance[f]], 0.02, 2)
                               : log_prior(number_relevances[at.relevance[f]], 0.05, 2) +
                                     log_prior(lengths[at.length[f]], 1, 1);
  }
  return out;
}

double PartsSurrogate::posterior() {
  Eigen::MatrixXd sum = covariances_[0];
  for (std::size_t p = 1; p < covariances_.size(); ++p) sum += covariances_[p];
  // A part that is nothing at an end leaves no variance there, hence the little that is added.
  sum.diagonal().array() += (noises[noise_] * values_.array()).square() + 1e-9;
  const Eigen::LLT<Eigen::MatrixXd> factor(sum);
  log_likelihood_ = -std::numeric_limits<double>::infinity();
  if (factor.info() != Eigen::Success)
    return log_likelihood_;
  factor_ = factor.matrixL();
  weights_ = factor.solve(values_);
  // The density of a logarithm is that of the cost times the cost.
  log_likelihood_ = -0.5 * values_.dot(weights_) - factor_.diagonal().array().log().sum() +
                    values_.array().log().sum();
  return log_likelihood_ + prior();
}

bool PartsSurrogate::attempt(std::size_t part, Settings settings) {
  const Part kept = parts_[part];
  parts_[part].at = std::move(settings);
  if (parts_[part].at.amplitude != kept.at.amplitude ||
      parts_[part].at.roughness != kept.at.roughness)
    set_along(parts_[part]);
  else
    set_decay(parts_[part]);
  Eigen::MatrixXd covariances = this->covariances(parts_[part]);
  covariances.swap(covariances_[part]);
  const double found = posterior();
  if (found > posterior_ + 1e-6) {
    posterior_ = found;
    return true;
  }
  covariances.swap(covariances_[part]);
  parts_[part] = kept;
  return false;
}

void PartsSurrogate::tune(int sweeps) {
  // Up or down a grid for as long as that is better.
  const auto walk = [&](std::size_t part, std::size_t size, auto place) {
    for (const bool up : {false, true})
      for (;;) {
        Settings next = parts_[part].at;
        std::size_t& at = place(next);
        if (up ? at + 1 == size : at == 0)
          break;
        at += up ? 1 : std::size_t(-1);
        if (!attempt(part, std::move(next)))
          break;
      }
  };
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    const double before = posterior_;
    for (std::size_t p = 0; p < parts_.size(); ++p) {
      walk(
          p, amplitudes.size(), [](Settings & at) -> auto& { return at.amplitude; });
      if (divides_)
        walk(
            p, roughnesses.size(), [](Settings & at) -> auto& { return at.roughness; });
      for (std::size_t f = 0; f < features_.size(); ++f) {
        walk(
            p, features_[f].word ? word_relevances.size() : number_relevances.size(),
            [f](Settings & at) -> auto& { return at.relevance[f]; });
        if (!features_[f].word)
          walk(
              p, lengths.size(), [f](Settings & at) -> auto& { return at.length[f]; });
      }
    }
    for (const bool up : {false, true})
      for (;;) {
        const std::size_t kept = noise_;
        if (up ? noise_ + 1 == noises.size() : noise_ == 0)
          break;
        noise_ += up ? 1 : std::size_t(-1);
        const double found = posterior();
        if (found <= posterior_) {
          noise_ = kept;
          break;
        }
        posterior_ = found;
      }
    if (posterior_ < before + 0.2)
      return;
  }
}

void PartsSurrogate::fit(const std::vector<Point>& points, const std::vector<double>& values,
                         bool tune) {
  points_ = points;
  values_.resize(static_cast<Eigen::Index>(values.size()));
  // In units that no exponential overflows in.
  const double most = *std::max_element(values.begin(), values.end());
  for (std::size_t i = 0; i < values.size(); ++i)
    values_[static_cast<Eigen::Index>(i)] = std::exp(values[i] - most);
  const double root = std::sqrt(values_.squaredNorm() / static_cast<double>(values.size()));
  values_ /= root;
  scale_ = most + std::log(root);
  least_ = values_.minCoeff() / 2;
  covariances_.clear();
  for (const Part& part : parts_) covariances_.push_back(covariances(part));
  posterior_ = posterior();
  if (tune) {
    // From then on one more point moves little.
    this->tune(tuned_ ? 1 : 3);
    tuned_ = true;
    posterior();
  }
}

Eigen::VectorXd PartsSurrogate::against(const Point& point) const {
  Eigen::VectorXd out(static_cast<Eigen::Index>(points_.size()));
  for (std::size_t i = 0; i < points_.size(); ++i) {
    double sum = 0;
    for (const Part& part : parts_) sum += covariance(part, points_[i], point);
    out[static_cast<Eigen::Index>(i)] = sum;
  }
  return out;
}

double PartsSurrogate::mean(const Point& point) const {
  return scale_ + std::log(std::max(least_, against(point).dot(weights_)));
}

Prediction PartsSurrogate::predict(const std::vector<Point>& points) const {
  Eigen::MatrixXd cross(static_cast<Eigen::Index>(points_.size()),
                        static_cast<Eigen::Index>(points.size()));
  for (std::size_t i = 0; i < points.size(); ++i)
    cross.col(static_cast<Eigen::Index>(i)) = against(points[i]);
  const Eigen::VectorXd means = cross.transpose() * weights_;
  factor_.triangularView<Eigen::Lower>().solveInPlace(cross);
  const Eigen::VectorXd known = cross.colwise().squaredNorm();
  Prediction out;
  for (Eigen::Index i = 0; i < means.size(); ++i) {
    const Point& point = points[static_cast<std::size_t>(i)];
    double variance = 0;
    for (const Part& part : parts_) variance += covariance(part, point, point);
    const double mean = std::max(least_, means[i]);
    // By how much the mean had to be moved it is off at least.
    const double deviation = std::sqrt(std::max(1e-9, variance - known[i])) + mean - means[i];
    out.means.push_back(scale_ + std::log(mean));
    // Half of what lies between a deviation less and a deviation more.
    out.deviations.push_back(std::log((mean + deviation) / std::max(least_ / 2, mean - deviation)) /
                             2);
  }
  return out;
}

}  // namespace cleave::inline v0::optimizer
