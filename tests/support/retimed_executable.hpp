// A network whose passes take other times than its own: for tests of what measures networks.
#pragma once

#include <cleave/core/backend.hpp>

#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace cleave::tests {

/// Runs `inner`, then lets `retime` change what the steps of the pass say that they took, and move
/// a clock. `inner` has no clock of its own, unless its times count as well.
class RetimedExecutable final : public core::Executable {
 public:
  /// Called after every pass with the cuts that it ran between and the times of its steps.
  using Retime =
      std::function<void(core::CutId begin, core::CutId end, std::span<core::StepTime> steps)>;

  RetimedExecutable(std::shared_ptr<const core::Executable> inner, Retime retime)
      : inner_(std::move(inner)), retime_(std::move(retime)) {}

  [[nodiscard]] core::Fingerprint fingerprint() const override { return inner_->fingerprint(); }
  [[nodiscard]] std::span<const core::Cut> cuts() const override { return inner_->cuts(); }
  [[nodiscard]] std::uint32_t step_count() const override { return inner_->step_count(); }
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override {
    std::vector<core::StepTime> times;
    return run_timed(begin, end, values, times);
  }
  [[nodiscard]] core::Result<core::Values> run_timed(
      core::CutId begin, core::CutId end, const core::Values& values,
      std::vector<core::StepTime>& times) const override {
    const std::size_t before = times.size();
    auto result = inner_->run_timed(begin, end, values, times);
    retime_(begin, end, std::span(times).subspan(before));
    return result;
  }
  [[nodiscard]] core::Result<void> set_threads(int count) const override {
    return inner_->set_threads(count);
  }

 private:
  std::shared_ptr<const core::Executable> inner_;
  Retime retime_;
};

}  // namespace cleave::tests
