// The watts of an idle machine, of one busy core and of all, out of measurements that mix them.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <span>

namespace cleave::inline v0::device {

/// Power while so many cores were busy for a share of the time.
struct PowerSample {
  int cores = 0;           ///< 0: idle
  double utilisation = 0;  ///< of those cores, as measured; 0..1
  core::Watts power;
  core::Watts error;  ///< the meter's, over the time of the sample; 0: not known
};

/// The watts of one level, with their standard errors.
struct FittedPower {
  core::Watts idle, busy_one_core, busy;
  core::Watts idle_error, busy_one_core_error, busy_error;
  core::Watts residual;  ///< root mean square of measured less fitted power
  int samples = 0;
};

/// Least squares for Board::power: P = (1 - u) idle + u ((1 - b) busy_one_core + b busy) with
/// b = (cores - 1) / (all - 1), u the utilisation, weighted by 1/error^2 where all errors are
/// known. A standard error is the larger of what the residuals say (their variance, with samples
/// less parameters in the denominator, times the inverse of the normal matrix) and what the
/// meter's errors say. Watts that come out in the wrong order by no more than twice the error of
/// their difference are made equal, at their mean weighted by 1/error^2.
/// Errors: invalid_argument (all < 1, samples of more cores than there are, too few different ones
/// to tell idle, one core and all apart), exhausted (in the wrong order by more: the meter does not
/// see the load).
CLEAVE_EXPORT core::Result<FittedPower> fit_power(std::span<const PowerSample> samples, int all);

}  // namespace cleave::inline v0::device
