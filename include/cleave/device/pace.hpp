// A share of the CPU that work keeps to by itself: stands for a board's frequency levels on a
// machine that cannot change its own, without a privilege and without a scheduler's stalls.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/governor.hpp>

#include <atomic>
#include <memory>
#include <vector>

namespace cleave::inline v0::device {

/// The share of a CPU that paced work takes, in (0, 1]. Thread-safe.
class Pace {
 public:
  [[nodiscard]] double share() const { return share_.load(std::memory_order_relaxed); }
  void set(double share) { share_.store(share, std::memory_order_relaxed); }

 private:
  std::atomic<double> share_{1};
};

/// Sets a Pace, and nothing else: who runs the network has to keep to it, as exec::PacedExecutable
/// does. Thread-safe.
class CLEAVE_EXPORT PaceGovernor final : public Governor {
 public:
  /// value of a level = share, in (0, 1], ascending (std::invalid_argument otherwise);
  /// Board::share_levels() makes them. The knob is called cpu_share.
  PaceGovernor(core::HostIndex host, std::vector<core::Level> levels);
  ~PaceGovernor() override;

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }
  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override;
  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override;
  /// To the whole CPU.
  [[nodiscard]] core::Result<void> restore() override;

  [[nodiscard]] std::shared_ptr<const Pace> pace() const { return pace_; }

 private:
  core::Knob knob_;
  std::shared_ptr<Pace> pace_;
};

}  // namespace cleave::inline v0::device
