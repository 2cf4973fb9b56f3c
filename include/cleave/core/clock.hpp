// Time as an argument: whoever waits or measures takes a Clock, so tests need no sleeping.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <atomic>

namespace cleave::inline v0::core {

/// A monotonic clock. Implementations are thread-safe.
class CLEAVE_EXPORT Clock {
 public:
  virtual ~Clock();
  /// Seconds since an arbitrary fixed point; never decreases.
  [[nodiscard]] virtual Seconds now() const = 0;
};

/// std::chrono::steady_clock.
class CLEAVE_EXPORT SteadyClock final : public Clock {
 public:
  [[nodiscard]] Seconds now() const override;
};

/// Stands still until it is told to move. For tests.
class CLEAVE_EXPORT ManualClock final : public Clock {
 public:
  [[nodiscard]] Seconds now() const override { return Seconds(now_.load()); }
  void advance(Seconds by) { now_.store(now_.load() + by.count()); }

 private:
  std::atomic<double> now_{0};
};

}  // namespace cleave::inline v0::core
