// When to leave a failing endpoint alone, and when to try it again: decisions without I/O or clock.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <random>

namespace cleave::inline v0::runtime {

struct BackoffOptions {
  core::Seconds first = core::milliseconds(50);  ///< the shortest wait, above 0
  core::Seconds last = core::Seconds(5);         ///< the longest, at least the first
  std::uint64_t seed = 1;
};

/// How long to wait between attempts, with "decorrelated jitter" (M. Brooker, "Exponential Backoff
/// and Jitter", AWS Architecture Blog, 2015), so that clients that lost the same peer do not come
/// back in step:
///
///     wait = uniform(first, min(last, 3 * previous wait)),   the first previous wait being `first`
///
/// The interval is capped and not the wait, or many clients would wait exactly the longest one. The
/// same seed gives the same waits. Not thread-safe.
class CLEAVE_EXPORT Backoff {
 public:
  explicit Backoff(const BackoffOptions& options = {});
  [[nodiscard]] core::Seconds next();
  /// Begins anew with short waits; the random numbers go on.
  void reset() { previous_ = options_.first; }
  [[nodiscard]] const BackoffOptions& options() const { return options_; }

 private:
  BackoffOptions options_;
  core::Seconds previous_;
  std::mt19937_64 random_;
};

struct BreakerOptions {
  BackoffOptions backoff;
  int failures = 3;  ///< in a row that open it, at least 1
};

/// A circuit breaker (M. Nygard, "Release It!", 2007) for one endpoint.
///
/// closed: calls may be made. `failures` failed calls in a row, or one trip(), open it.
/// open: no calls. From retry_at() on, begin_probe() allows one probe.
/// half_open: that probe is under way; its success closes the breaker, its failure opens it again
/// after a longer wait.
///
/// Waits grow as Backoff's. They are short again after a call has succeeded, or after the breaker
/// was closed for as long as the longest wait: an endpoint that accepts and dies at once is not
/// hammered.
///
/// What is known late (a result of a call made before it opened) changes nothing while it is open.
/// Not thread-safe. Times are given, on one monotonic clock.
class CLEAVE_EXPORT Breaker {
 public:
  enum class State : std::uint8_t { closed, open, half_open };

  /// Open, with the first probe allowed at once: nothing is known of the endpoint yet.
  explicit Breaker(const BreakerOptions& options = {});

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool closed() const { return state_ == State::closed; }
  /// When the next probe may begin; only meaningful while it is open.
  [[nodiscard]] core::Seconds retry_at() const { return retry_at_; }
  /// Times that it opened since the start.
  [[nodiscard]] std::uint64_t opened() const { return opened_; }

  void succeeded(core::Seconds now);
  void failed(core::Seconds now);
  /// The endpoint is known to be gone (its connection broke).
  void trip(core::Seconds now);
  /// The endpoint may be gone (it was silent for longer than a call could wait): opens, and allows
  /// a probe at once.
  void suspect(core::Seconds now);
  /// Whether the caller is to probe now. True for one caller only; that one owes a succeeded() or
  /// failed().
  [[nodiscard]] bool begin_probe(core::Seconds now);

 private:
  void open(core::Seconds now, bool probe_at_once);

  BreakerOptions options_;
  Backoff backoff_;
  State state_ = State::open;
  int failures_ = 0;
  std::uint64_t opened_ = 0;
  core::Seconds retry_at_, closed_at_;
};

}  // namespace cleave::inline v0::runtime
