#include <cleave/device/journal.hpp>
#include <cleave/device/nvml.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <thread>

namespace cleave::inline v0::device {
namespace {

using Kind = GpuSetting::Kind;

// Both knobs: a list of values that NVML takes, in the unit that it takes them in.
class GpuGovernor final : public Governor {
 public:
  GpuGovernor(std::shared_ptr<Nvml> nvml, Gpu gpu, GpuGovernorOptions options, Kind kind)
      : nvml_(std::move(nvml)), gpu_(std::move(gpu)), options_(std::move(options)), kind_(kind) {
    if (options_.state_dir.empty())
      options_.state_dir = default_state_dir();
    if (!options_.wait)
      options_.wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(10)); };
    knob_.name = is_clock() ? "gpu_clock" : "gpu_power";
    if (gpu_.index > 0)
      knob_.name += "." + std::to_string(gpu_.index);
    knob_.host = options_.host;
    knob_.unit = is_clock() ? "Hz" : "W";
  }

  ~GpuGovernor() override {
    // A failure leaves the journal, and recover() at the next start reports it.
    (void)undo();
  }

  core::Result<void> look() {
    if (options_.steps < 2)
      return core::fail(core::Errc::invalid_argument, "steps must be at least 2", knob_.name);
    if (auto found = is_clock() ? list_clocks() : list_limits(); !found)
      return found;
    for (unsigned value : values_)
      knob_.levels.push_back(is_clock()
                                 ? core::Level{std::to_string(value) + " MHz", value * 1e6}
                                 : core::Level{std::to_string(value / 1000) + " W", value * 1e-3});
    return {};
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }

  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override {
    if (level >= values_.size())
      return core::fail(
          core::Errc::invalid_argument,
          "no level " + std::to_string(level) + "; there are " + std::to_string(values_.size()),
          knob_.name);
    if (!journal_) {
      if (auto opened = open_journal(); !opened)
        return opened;
    }
    const unsigned value = values_[level];
    applied_.reset();
    auto done = is_clock() ? nvml_->lock_clocks(gpu_.uuid, value)
                           : nvml_->set_power_limit(gpu_.uuid, value);
    if (!done)
      return done;
    if (auto verified = verify(value); !verified)
      return verified;
    applied_ = level;
    return {};
  }

  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override {
    // A clock that nobody has locked may be at a level by chance.
    if (is_clock() && !applied_)
      return std::nullopt;
    const auto now = is();
    if (!now)
      return core::fail(now);
    for (std::size_t i = 0; i < values_.size(); ++i)
      if (near(*now, values_[i]))
        return static_cast<core::LevelIndex>(i);
    return std::nullopt;
  }

  [[nodiscard]] core::Result<void> restore() override { return undo(); }

 private:
  [[nodiscard]] bool is_clock() const { return kind_ == Kind::locked_clocks; }

  core::Result<void> list_clocks() {
    const auto all = nvml_->clocks(gpu_.uuid);
    if (!all)
      return core::fail(all);
    if (all->empty())
      return core::fail(core::Errc::unsupported, "the GPU lists no clocks", gpu_.name);
    if (all->size() > 1)
      step_ = (*all)[1] - (*all)[0];
    const std::size_t many = std::min(all->size(), static_cast<std::size_t>(options_.steps));
    for (std::size_t i = 0; i < many; ++i)
      values_.push_back((*all)[many == 1 ? 0 : i * (all->size() - 1) / (many - 1)]);
    return {};
  }

  core::Result<void> list_limits() {
    const auto limits = nvml_->power_limits(gpu_.uuid);
    if (!limits)
      return core::fail(limits);
    if (limits->most <= limits->least)
      return core::fail(core::Errc::unsupported, "the GPU's power limit cannot be moved",
                        gpu_.name);
    const auto last = static_cast<unsigned>(options_.steps) - 1;
    for (unsigned i = 0; i <= last; ++i) {
      // In whole watts, but for the bounds.
      const auto even = limits->least + std::uint64_t{limits->most - limits->least} * i / last;
      values_.push_back(static_cast<unsigned>(i == 0 || i == last ? even : even / 1000 * 1000));
    }
    values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
    return {};
  }

  core::Result<void> open_journal() {
    auto journal = Journal::open(options_.state_dir,
                                 std::string(is_clock() ? "gpu_clock-" : "gpu_power-") + gpu_.uuid);
    if (!journal)
      return core::fail(journal);
    GpuSetting original{nvml_->library(), gpu_.uuid, kind_, 0};
    if (!is_clock()) {
      const auto limits = nvml_->power_limits(gpu_.uuid);
      if (!limits)
        return core::fail(limits);
      original.value = limits->now;
    }
    if (auto noted = journal->will_set(original); !noted)
      return noted;
    journal_ = std::move(*journal);
    return {};
  }

  // The clock, or the limit.
  [[nodiscard]] core::Result<unsigned> is() const {
    if (is_clock())
      return nvml_->clock(gpu_.uuid);
    const auto limits = nvml_->power_limits(gpu_.uuid);
    if (!limits)
      return core::fail(limits);
    return limits->now;
  }

  // A clock may be off by less than a step of the list.
  [[nodiscard]] bool near(unsigned now, unsigned asked) const {
    return is_clock() ? std::abs(double(now) - double(asked)) < std::max(step_, 1U) : now == asked;
  }

  core::Result<void> verify(unsigned value) {
    unsigned now = 0;
    for (int look = 0; look < std::max(options_.looks, 1); ++look) {
      if (look > 0)
        options_.wait();
      const auto found = is();
      if (!found)
        return core::fail(found);
      now = *found;
      if (near(now, value))
        return {};
      if (!is_clock())
        break;
    }
    const char* unit = is_clock() ? " MHz" : " mW";
    return core::fail(core::Errc::refused,
                      "the GPU is at " + std::to_string(now) + unit + " when " +
                          std::to_string(value) + unit + " was set",
                      gpu_.name, "another limit (heat, power) may hold it");
  }

  core::Result<void> undo() {
    if (!journal_)
      return {};
    auto undone = journal_->undo();
    if (undone) {
      journal_.reset();
      applied_.reset();
    }
    return undone;
  }

  std::shared_ptr<Nvml> nvml_;
  Gpu gpu_;
  GpuGovernorOptions options_;
  Kind kind_;
  core::Knob knob_;
  std::vector<unsigned> values_;  // MHz or mW
  unsigned step_ = 1;             // between two clocks of the GPU's list
  std::optional<Journal> journal_;
  std::optional<core::LevelIndex> applied_;
};

core::Result<std::unique_ptr<Governor>> open(std::shared_ptr<Nvml> nvml, const Gpu& gpu,
                                             GpuGovernorOptions options, Kind kind) {
  auto governor = std::make_unique<GpuGovernor>(std::move(nvml), gpu, std::move(options), kind);
  if (auto looked = governor->look(); !looked)
    return core::fail(looked);
  return governor;
}

}  // namespace

core::Result<std::unique_ptr<Governor>> open_gpu_clock_governor(std::shared_ptr<Nvml> nvml,
                                                                const Gpu& gpu,
                                                                GpuGovernorOptions options) {
  return open(std::move(nvml), gpu, std::move(options), Kind::locked_clocks);
}

core::Result<std::unique_ptr<Governor>> open_gpu_power_governor(std::shared_ptr<Nvml> nvml,
                                                                const Gpu& gpu,
                                                                GpuGovernorOptions options) {
  return open(std::move(nvml), gpu, std::move(options), Kind::power_limit);
}

}  // namespace cleave::inline v0::device
