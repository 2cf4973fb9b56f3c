// Medians of paired samples, and how sure one may be of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace bench_link {

inline double quantile(std::vector<double> sample, double q) {
  if (sample.empty())
    return 0;
  std::sort(sample.begin(), sample.end());
  const double at = q * static_cast<double>(sample.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sample.size() - 1);
  return sample[below] + (at - static_cast<double>(below)) * (sample[above] - sample[below]);
}

inline double median(std::vector<double> sample) {
  return quantile(std::move(sample), 0.5);
}

struct Interval {
  double low = 0, median = 0, high = 0;
};

/// The median with an interval of at least 95 % confidence that assumes nothing of the
/// distribution: the k-th smallest and the k-th largest sample, where fewer than k of n samples lie
/// below the true median with probability P(Binomial(n, 1/2) < k) <= 0.025 (Conover, Practical
/// Nonparametric Statistics, section 3.2). With 21 samples these are the 6th and the 16th; below 6
/// samples there is no such interval, and the extremes are given.
inline Interval median_interval(std::vector<double> sample) {
  if (sample.empty())
    return {};
  std::sort(sample.begin(), sample.end());
  const auto n = static_cast<double>(sample.size());
  std::size_t k = 0;
  double below = 0;  // P(Binomial(n, 1/2) <= k - 1)
  for (; k < sample.size(); ++k) {
    const auto i = static_cast<double>(k);
    const double log_ways = std::lgamma(n + 1) - std::lgamma(i + 1) - std::lgamma(n - i + 1);
    below += std::exp(log_ways - n * std::log(2.0));
    if (below > 0.025)
      break;
  }
  const std::size_t rank = k > 0 ? k - 1 : 0;
  return {sample[rank], median(sample), sample[sample.size() - 1 - rank]};
}

/// The interval of the median of a[i] / b[i].
inline Interval ratio(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (b[i] > 0)
      ratios.push_back(a[i] / b[i]);
  return median_interval(std::move(ratios));
}

}  // namespace bench_link
