#include <cleave/device/fit_power.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

namespace cleave::inline v0::device {
namespace {

using core::Errc;
using core::fail;

constexpr std::size_t most = 3;
using Row = std::array<double, most>;
using Matrix = std::array<Row, most>;

// How much of idle, of one busy core and of all is in a sample.
Row parts_of(const PowerSample& sample, int all) {
  if (sample.cores == 0)
    return {1, 0, 0};
  const double u = std::clamp(sample.utilisation, 0.0, 1.0);
  if (all == 1)
    return {1 - u, u, 0};
  const double b = double(sample.cores - 1) / double(all - 1);
  return {1 - u, u * (1 - b), u * b};
}

// By Gauss and Jordan with pivots; nothing if it has none (to 12 digits of the largest element).
std::optional<Matrix> inverse(Matrix a, std::size_t n) {
  Matrix result{};
  double size = 0;
  for (std::size_t i = 0; i < n; ++i) {
    result[i][i] = 1;
    for (std::size_t j = 0; j < n; ++j) size = std::max(size, std::abs(a[i][j]));
  }
  for (std::size_t column = 0; column < n; ++column) {
    std::size_t pivot = column;
    for (std::size_t i = column; i < n; ++i)
      if (std::abs(a[i][column]) > std::abs(a[pivot][column]))
        pivot = i;
    if (!(std::abs(a[pivot][column]) > 1e-12 * size))
      return std::nullopt;
    std::swap(a[pivot], a[column]);
    std::swap(result[pivot], result[column]);
    const double scale = 1 / a[column][column];
    for (std::size_t j = 0; j < n; ++j) {
      a[column][j] *= scale;
      result[column][j] *= scale;
    }
    for (std::size_t i = 0; i < n; ++i) {
      const double factor = a[i][column];
      if (i == column || factor == 0)
        continue;
      for (std::size_t j = 0; j < n; ++j) {
        a[i][j] -= factor * a[column][j];
        result[i][j] -= factor * result[column][j];
      }
    }
  }
  return result;
}

struct Fit {
  Row watts{};
  Matrix covariance{};
  double residual = 0;
};

std::optional<Fit> least_squares(std::span<const PowerSample> samples, int all, std::size_t n) {
  const bool weighted = std::all_of(samples.begin(), samples.end(), [](const PowerSample& sample) {
    return sample.error.count() > 0;
  });
  const auto weight = [&](const PowerSample& sample) {
    return weighted ? 1 / (sample.error.count() * sample.error.count()) : 1.0;
  };
  Matrix normal{};
  Row right{};
  for (const PowerSample& sample : samples) {
    const Row parts = parts_of(sample, all);
    for (std::size_t i = 0; i < n; ++i) {
      right[i] += weight(sample) * parts[i] * sample.power.count();
      for (std::size_t j = 0; j < n; ++j) normal[i][j] += weight(sample) * parts[i] * parts[j];
    }
  }
  const auto inverted = inverse(normal, n);
  if (!inverted)
    return std::nullopt;
  Fit fit;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) fit.watts[i] += (*inverted)[i][j] * right[j];
  double squares = 0, weighted_squares = 0;
  for (const PowerSample& sample : samples) {
    const Row parts = parts_of(sample, all);
    double off = sample.power.count();
    for (std::size_t i = 0; i < n; ++i) off -= parts[i] * fit.watts[i];
    squares += off * off;
    weighted_squares += weight(sample) * off * off;
  }
  fit.residual = std::sqrt(squares / double(samples.size()));
  // With weights of 1/error^2 the inverse alone is the covariance that the meter's errors make.
  const double free = double(samples.size()) - double(n);
  const double by_residuals = free > 0 ? weighted_squares / free : 0;
  const double variance = std::max(by_residuals, weighted ? 1.0 : 0.0);
  fit.covariance = *inverted;
  for (Row& row : fit.covariance)
    for (double& element : row) element *= variance;
  return fit;
}

// Whether watts[i] <= watts[i + 1] for all i, once those are pooled that noise has put in the wrong
// order.
bool put_in_order(Fit& fit, std::size_t n) {
  for (std::size_t pass = 0; pass < n; ++pass)
    for (std::size_t i = 0; i + 1 < n; ++i) {
      const double over = fit.watts[i] - fit.watts[i + 1];
      if (!(over > 0))
        continue;
      const double a = fit.covariance[i][i], b = fit.covariance[i + 1][i + 1];
      const double of_difference = a + b - 2 * fit.covariance[i][i + 1];
      if (over > 2 * std::sqrt(std::max(of_difference, 0.0)) + 1e-9 * std::abs(fit.watts[i]))
        return false;
      const double share = a + b > 0 ? b / (a + b) : 0.5;
      fit.watts[i] = fit.watts[i + 1] = share * fit.watts[i] + (1 - share) * fit.watts[i + 1];
    }
  return true;
}

}  // namespace

core::Result<FittedPower> fit_power(std::span<const PowerSample> samples, int all) {
  if (all < 1)
    return fail(Errc::invalid_argument, "a machine has at least one core", "fit_power");
  for (const PowerSample& sample : samples)
    if (sample.cores < 0 || sample.cores > all || !std::isfinite(sample.power.count()))
      return fail(Errc::invalid_argument,
                  "a sample of more cores than there are, or without a power", "fit_power");
  const std::size_t n = all > 1 ? 3 : 2;
  auto fit = least_squares(samples, all, n);
  if (!fit)
    return fail(Errc::invalid_argument,
                "the samples do not tell idle, one busy core and all of them apart", "fit_power",
                "measure idle, one core and all cores");
  if (!put_in_order(*fit, n))
    return fail(Errc::exhausted, "the machine seems to draw less power the busier it is",
                "fit_power",
                "nothing else may run on it, and the meter must see its processor; measure longer");
  const auto error = [&](std::size_t i) { return core::Watts(std::sqrt(fit->covariance[i][i])); };
  FittedPower power;
  power.idle = core::Watts(fit->watts[0]);
  power.busy_one_core = core::Watts(fit->watts[1]);
  power.busy = core::Watts(fit->watts[n - 1]);
  power.idle_error = error(0);
  power.busy_one_core_error = error(1);
  power.busy_error = error(n - 1);
  power.residual = core::Watts(fit->residual);
  power.samples = static_cast<int>(samples.size());
  return power;
}

}  // namespace cleave::inline v0::device
