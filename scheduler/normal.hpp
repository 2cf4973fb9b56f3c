// The normal distribution's quantile.
#pragma once

#include <cmath>
#include <numbers>

namespace cleave::inline v0::scheduler {

/// x with P(X <= x) = p for a standard normal X; p in [0.5, 1). By bisection on erfc: it runs once
/// a policy, and needs no table of coefficients.
inline double normal_quantile(double p) {
  double low = 0, high = 40;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    // 1 - P(X <= middle), which keeps its digits where p is near 1.
    const bool below = std::erfc(middle / std::numbers::sqrt2) / 2 > 1 - p;
    (below ? low : high) = middle;
  }
  return (low + high) / 2;
}

}  // namespace cleave::inline v0::scheduler
