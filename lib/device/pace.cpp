#include <cleave/device/pace.hpp>

#include <algorithm>
#include <stdexcept>

namespace cleave::inline v0::device {

PaceGovernor::PaceGovernor(core::HostIndex host, std::vector<core::Level> levels)
    : pace_(std::make_shared<Pace>()) {
  const auto rising = [](const core::Level& a, const core::Level& b) { return a.value < b.value; };
  if (levels.empty() || !(levels.front().value > 0) || !(levels.back().value <= 1) ||
      !std::is_sorted(levels.begin(), levels.end(), rising))
    throw std::invalid_argument("PaceGovernor: the shares must ascend within (0, 1]");
  knob_.name = "cpu_share";
  knob_.host = host;
  knob_.unit = "share of one CPU";
  knob_.levels = std::move(levels);
}

PaceGovernor::~PaceGovernor() {
  pace_->set(1);
}

core::Result<void> PaceGovernor::apply(core::LevelIndex level) {
  if (level >= knob_.levels.size())
    return core::fail(
        core::Errc::invalid_argument,
        "no level " + std::to_string(level) + "; there are " + std::to_string(knob_.levels.size()),
        knob_.name);
  pace_->set(knob_.levels[level].value);
  return {};
}

core::Result<std::optional<core::LevelIndex>> PaceGovernor::current() {
  for (std::size_t i = 0; i < knob_.levels.size(); ++i)
    if (knob_.levels[i].value == pace_->share())
      return static_cast<core::LevelIndex>(i);
  return std::nullopt;
}

core::Result<void> PaceGovernor::restore() {
  pace_->set(1);
  return {};
}

}  // namespace cleave::inline v0::device
