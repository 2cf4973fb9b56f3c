// Leases knobs: several requests may want different levels of one machine at once.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/governor.hpp>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace cleave::inline v0::device {

/// What happens when leases that are held at the same time ask for different levels of a knob.
enum class Compromise : std::uint8_t {
  highest = 0,  ///< the highest level asked for: nobody gets slower than it planned (default)
  lowest = 1,   ///< the lowest: a power cap
  first = 2,    ///< the oldest lease decides; what knobs with words (Knob::categorical) always use
};

/// What a knob's changes took so far.
struct SwitchCost {
  std::uint64_t changes = 0;
  /// Without the first change as long as there are others: that one also sets up (makes the control
  /// group, switches the kernel's governor), once in a program's life.
  core::Seconds mean;
  core::Seconds most;  ///< of all
};

class Arbiter;

/// Holds the levels until it goes. Movable; release from any thread. May outlive the arbiter.
class CLEAVE_EXPORT Lease {
 public:
  Lease();
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();
  /// What the knobs were set to when the lease was granted, in the arbiter's order.
  [[nodiscard]] const std::vector<core::LevelIndex>& granted() const { return granted_; }
  /// What changing them took; 0 if nothing had to change.
  [[nodiscard]] core::Seconds switch_time() const { return switch_time_; }
  [[nodiscard]] bool held() const { return state_ != nullptr; }
  /// Ends the lease. The knobs move to the compromise of the leases that are left, and stay where
  /// they are if there is none, so that the next request with the same levels switches nothing.
  void release();

 private:
  friend class Arbiter;
  struct State;
  std::shared_ptr<State> state_;
  std::uint64_t id_ = 0;
  std::vector<core::LevelIndex> granted_;
  core::Seconds switch_time_;
};

struct ArbiterOptions {
  /// One per governor, in order; those missing are Compromise::highest.
  std::vector<Compromise> compromises;
  std::shared_ptr<core::Clock> clock;      ///< a SteadyClock if null
  core::LogSink* log = &core::null_log();  ///< must outlive arbiter and leases
};

/// Owns the governors of one host. Thread-safe. A change happens on the thread that asks for it and
/// only if the level differs from the one applied; governors whose setting belongs to the calling
/// thread (Governor::per_calling_thread) are applied for every lease, on that thread and without a
/// compromise, so acquire() is to be called on the thread that runs the network.
class CLEAVE_EXPORT Arbiter {
 public:
  explicit Arbiter(std::vector<std::unique_ptr<Governor>> governors, ArbiterOptions options = {});
  /// restore_all().
  ~Arbiter();
  Arbiter(const Arbiter&) = delete;
  Arbiter& operator=(const Arbiter&) = delete;

  /// With the measured switch cost filled in.
  [[nodiscard]] std::vector<core::Knob> knobs() const;
  [[nodiscard]] std::vector<SwitchCost> switch_costs() const;

  /// One level per knob, in the order of knobs(). Errors: invalid_argument (wrong number, no such
  /// level), cancelled (after restore_all), and those of Governor::apply; on an error no lease is
  /// held.
  [[nodiscard]] core::Result<Lease> acquire(std::span<const core::LevelIndex> levels);

  /// Puts everything back as it was found and grants no lease any more. All governors are tried;
  /// the first error is returned. Idempotent; may be called from any thread, but takes a lock and
  /// does input and output, so not from a signal handler: block SIGINT and SIGTERM, wait for them
  /// on a thread (sigwait, signalfd), and call this there.
  [[nodiscard]] core::Result<void> restore_all();

 private:
  std::shared_ptr<Lease::State> state_;
};

}  // namespace cleave::inline v0::device
