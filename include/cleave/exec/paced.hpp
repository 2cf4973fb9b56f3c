// Runs a network at the pace of a slower device.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/device/pace.hpp>

#include <functional>
#include <memory>

namespace cleave::inline v0::exec {

/// What pacing reads and waits by; replaced in tests.
struct PaceTime {
  std::function<core::Seconds()> now;                    ///< monotonic
  std::function<core::Seconds()> cpu;                    ///< that the calling thread has used
  std::function<void(core::Seconds until)> sleep_until;  ///< on the clock of `now`
  /// CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID and clock_nanosleep().
  CLEAVE_EXPORT static PaceTime system();
};

/// A network that takes (CPU time of the calling thread) / share per call: after the work it sleeps
/// until then. A call that took longer already, since other programs had the CPU, does not sleep:
/// such a disturbance is hidden as far as the pause reaches. With several intra-op threads the
/// calling thread's own part counts, to which the others are in step.
///
/// Beside a control group's quota (device::CpuShareGovernor) this is steady: the kernel enforces a
/// quota at its clock ticks and by whole periods, so one pass of some milliseconds ends early or
/// late by about as much, and a thread that has overdrawn its quota wakes late for a reply.
class CLEAVE_EXPORT PacedExecutable final : public core::Executable {
 public:
  PacedExecutable(std::shared_ptr<const core::Executable> inner,
                  std::shared_ptr<const device::Pace> pace, PaceTime time = PaceTime::system());

  [[nodiscard]] core::Fingerprint fingerprint() const override;
  [[nodiscard]] std::span<const core::Cut> cuts() const override;
  [[nodiscard]] std::uint32_t step_count() const override;
  [[nodiscard]] core::StepGraph step_graph() const override;
  [[nodiscard]] core::Result<core::Cut> cut_at(
      std::span<const core::StepRange> head) const override;
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override;
  /// The steps' times are stretched by one factor so that they add up to what the call took.
  [[nodiscard]] core::Result<core::Values> run_timed(
      core::CutId begin, core::CutId end, const core::Values& values,
      std::vector<core::StepTime>& times) const override;
  [[nodiscard]] core::Result<std::vector<core::StepMemory>> measure_memory(
      const core::Values& inputs) const override;
  [[nodiscard]] core::Result<void> set_threads(int threads) const override;

 private:
  class Stretch;
  std::shared_ptr<const core::Executable> inner_;
  std::shared_ptr<const device::Pace> pace_;
  PaceTime time_;
};

}  // namespace cleave::inline v0::exec
