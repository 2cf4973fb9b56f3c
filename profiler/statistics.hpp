// Means, medians and spreads of small samples.
#pragma once

#include <cleave/table/profile.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace cleave::inline v0::profiler {

/// 0 for an empty sample.
inline double mean_of(const std::vector<double>& sample) {
  double sum = 0;
  for (const double x : sample) sum += x;
  return sample.empty() ? 0 : sum / static_cast<double>(sample.size());
}

/// Linear interpolation between order statistics; q in 0..1. 0 for an empty sample.
inline double quantile_of(std::vector<double> sample, double q) {
  if (sample.empty())
    return 0;
  std::sort(sample.begin(), sample.end());
  const double at = q * static_cast<double>(sample.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const auto above = std::min(below + 1, sample.size() - 1);
  return sample[below] + (at - static_cast<double>(below)) * (sample[above] - sample[below]);
}

inline double median_of(const std::vector<double>& sample) {
  return quantile_of(sample, 0.5);
}

/// Standard deviation with n - 1; 0 for fewer than two.
inline double deviation_of(const std::vector<double>& sample) {
  if (sample.size() < 2)
    return 0;
  const double mean = mean_of(sample);
  double sum = 0;
  for (const double x : sample) sum += (x - mean) * (x - mean);
  return std::sqrt(sum / static_cast<double>(sample.size() - 1));
}

/// How many lie farther from the median than five times what would be a normal distribution's
/// deviation, see table::Setting::outliers.
inline std::uint32_t outliers_in(const std::vector<double>& sample) {
  const double middle = median_of(sample);
  std::vector<double> distances;
  for (const double x : sample) distances.push_back(std::abs(x - middle));
  const double far = 5 * 1.4826 * median_of(distances);
  return static_cast<std::uint32_t>(
      std::count_if(distances.begin(), distances.end(), [far](double d) { return d > far; }));
}

inline table::Timing timing_of(const std::vector<double>& seconds, double scale = 1) {
  table::Timing timing;
  timing.mean = core::Seconds(mean_of(seconds) * scale);
  timing.median = core::Seconds(median_of(seconds));
  timing.spread = core::Seconds(deviation_of(seconds));
  timing.samples = static_cast<std::uint32_t>(seconds.size());
  return timing;
}

}  // namespace cleave::inline v0::profiler
