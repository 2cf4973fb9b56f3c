// How long a request would wait in the cloud now, from what earlier ones waited.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

namespace cleave::inline v0::transport {

/// A request hears what it waited when it is over, and the next one meets another queue. So what
/// was told is followed by Holt's linear trend (C. C. Holt, Forecasting seasonals and trends by
/// exponentially weighted moving averages, 1957) and carried on to now:
///
///   level = the last one told;   trend += share x ((level - level before) / time between - trend)
///   estimate = level + max(0, trend) x min(age, hold)
///
/// A queue that shrinks is not carried on: who believes in less is late if that is wrong, who does
/// not has spent some energy. Whoever sends no requests, since the queue is long, asks now and then
/// with an empty one (wants_news()). After `hold` without news the estimate fades, as somebody has
/// to find out that a queue is gone; if it is not gone, the next time is twice as far away, up to
/// `longest_hold`, until a queue of less than half is seen. Not thread-safe; no clock.
class CLEAVE_EXPORT QueueEstimator {
 public:
  static constexpr double share = 0.7;
  /// The steepest trend, in seconds a second: a cloud that is asked for twice what it can do.
  static constexpr double steepest = 1;
  /// Between two of those told, for a slope: those nearer count as this far apart, since requests
  /// side by side differ by their places in the queue.
  static constexpr core::Seconds least_interval = core::milliseconds(20);
  static constexpr core::Seconds first_hold = core::Seconds(4), longest_hold = core::Seconds(32);
  static constexpr core::Seconds memory = core::Seconds(1);  ///< of the fading, to 1/e
  /// Between the last news, or question, and the next question; of a queue shorter than `ignored`
  /// nobody need hear.
  static constexpr core::Seconds interval = core::milliseconds(250);
  static constexpr core::Seconds ignored = core::milliseconds(2);

  /// A request that ended at `now` had waited so long. Negative ones, and those of earlier than the
  /// last, are left out.
  void add(core::Seconds waited, core::Seconds now);
  /// 0 before anything was told.
  [[nodiscard]] core::Seconds estimate(core::Seconds now) const;

  /// Whether to send an empty request now, so that its wait can be added. asked(): it was sent.
  [[nodiscard]] bool wants_news(core::Seconds now) const;
  void asked(core::Seconds now);

 private:
  double level_ = 0, trend_ = 0, at_ = 0, asked_ = 0;
  double hold_ = first_hold.count();
  bool any_ = false;
};

}  // namespace cleave::inline v0::transport
