// A network without libtorch: a chain of elementwise steps on one float tensor, each of which takes
// a known time on an injected clock. For tests of what runs networks.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/hash.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::tests {

class FakeExecutable final : public core::Executable {
 public:
  /// Input: float32 of `width` elements. Step i computes x = x * 1.5 + i and takes step_times[i] on
  /// `clock` (which may be null: no time passes).
  FakeExecutable(std::vector<core::Seconds> step_times, std::int64_t width,
                 core::ManualClock* clock = nullptr, std::uint64_t weights = 1)
      : step_times_(std::move(step_times)), width_(width), clock_(clock), weights_(weights) {
    std::string before;
    for (std::size_t i = 0; i <= step_times_.size(); ++i) {
      core::Cut cut;
      cut.id.value = core::hash_text(before, step_times_.size());
      cut.position = static_cast<std::uint32_t>(i);
      cut.layer = i == 0 ? "" : "layer" + std::to_string(i - 1);
      cut.op = i == 0 ? "input" : "fake::affine";
      cut.bytes = core::Bytes(4.0 * static_cast<double>(width));
      cuts_.push_back(cut);
      before += "affine" + std::to_string(i);
    }
  }

  [[nodiscard]] core::Fingerprint fingerprint() const override {
    return {step_times_.size() * 1000 + static_cast<std::uint64_t>(width_), weights_};
  }
  [[nodiscard]] std::span<const core::Cut> cuts() const override { return cuts_; }
  [[nodiscard]] std::uint32_t step_count() const override {
    return static_cast<std::uint32_t>(step_times_.size());
  }

  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override {
    std::vector<core::StepTime> times;
    return run_timed(begin, end, values, times);
  }

  [[nodiscard]] core::Result<core::Values> run_timed(
      core::CutId begin, core::CutId end, const core::Values& values,
      std::vector<core::StepTime>& times) const override {
    const auto from = position(begin);
    const auto to = position(end);
    if (!from || !to || *from > *to)
      return core::fail(core::Errc::not_found, "no such cut");
    if (values.size() != 1 || values[0].tensor() == nullptr ||
        values[0].tensor()->numel() != static_cast<std::size_t>(width_) ||
        values[0].tensor()->dtype != core::DType::float32)
      return core::fail(core::Errc::invalid_argument, "the network takes one float tensor");
    core::Tensor x = core::contiguous_copy(*values[0].tensor());
    for (std::uint32_t i = *from; i < *to; ++i) {
      for (std::int64_t k = 0; k < width_; ++k)
        x.data_as<float>()[k] = x.data_as<float>()[k] * 1.5f + static_cast<float>(i);
      if (clock_ != nullptr)
        clock_->advance(step_times_[i]);
      times.push_back({i, step_times_[i]});
    }
    return core::Values{x};
  }

  /// Step i works in 100 (i + 1) bytes, with 7 bytes of weights of its own and 1000 that it shares
  /// with all others.
  [[nodiscard]] core::Result<std::vector<core::StepMemory>> measure_memory(
      const core::Values&) const override {
    std::vector<core::StepMemory> memory;
    for (std::size_t i = 0; i < step_times_.size(); ++i)
      memory.push_back({core::Bytes(100.0 * static_cast<double>(i + 1)),
                        {{i + 1, core::Bytes(7)}, {0, core::Bytes(1000)}}});
    return memory;
  }

  [[nodiscard]] core::Result<void> set_threads(int) const override { return {}; }

  /// An input whose elements are 0.25, 1.25, 2.25, ...
  [[nodiscard]] core::Values example() const {
    core::Tensor x = core::empty_tensor(core::DType::float32, {width_});
    for (std::int64_t k = 0; k < width_; ++k) x.data_as<float>()[k] = 0.25f + static_cast<float>(k);
    return {x};
  }

  /// All steps in closed order, computed here and now: what any split must give.
  [[nodiscard]] std::vector<float> expected() const {
    std::vector<float> x;
    for (std::int64_t k = 0; k < width_; ++k) x.push_back(0.25f + static_cast<float>(k));
    for (std::size_t i = 0; i < step_times_.size(); ++i)
      for (float& value : x) value = value * 1.5f + static_cast<float>(i);
    return x;
  }

 private:
  [[nodiscard]] std::optional<std::uint32_t> position(core::CutId id) const {
    for (const core::Cut& cut : cuts_)
      if (cut.id == id)
        return cut.position;
    return std::nullopt;
  }

  std::vector<core::Seconds> step_times_;
  std::int64_t width_;
  core::ManualClock* clock_;
  std::uint64_t weights_;
  std::vector<core::Cut> cuts_;
};

/// The elements of the only value, a float tensor.
inline std::vector<float> floats_of(const core::Values& values) {
  const core::Tensor dense = core::contiguous_copy(*values.at(0).tensor());
  return {dense.data_as<float>(), dense.data_as<float>() + dense.numel()};
}

}  // namespace cleave::tests
