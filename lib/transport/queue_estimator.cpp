#include <cleave/transport/queue_estimator.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::transport {

void QueueEstimator::add(core::Seconds waited, core::Seconds now) {
  const double level = waited.count(), at = now.count();
  if (!(level >= 0) || !std::isfinite(level) || (any_ && !(at >= at_)))
    return;
  const double between = at - at_;
  if (any_) {
    const double slope = (level - level_) / std::max(between, least_interval.count());
    trend_ = std::clamp(trend_ + share * (slope - trend_), -steepest, steepest);
    if (level < level_ / 2)
      hold_ = first_hold.count();
    else if (between > hold_)
      hold_ = std::min(2 * hold_, longest_hold.count());
  }
  level_ = level;
  at_ = at;
  any_ = true;
}

bool QueueEstimator::wants_news(core::Seconds now) const {
  return any_ && level_ > ignored.count() &&
         now.count() - std::max(at_, asked_) >= interval.count();
}

void QueueEstimator::asked(core::Seconds now) {
  asked_ = now.count();
}

core::Seconds QueueEstimator::estimate(core::Seconds now) const {
  const double age = std::max(0.0, now.count() - at_);
  const double carried = level_ + std::max(0.0, trend_) * std::min(age, hold_);
  return core::Seconds(carried * std::exp(-std::max(0.0, age - hold_) / memory.count()));
}

}  // namespace cleave::inline v0::transport
