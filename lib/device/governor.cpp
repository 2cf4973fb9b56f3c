#include <cleave/device/governor.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace cleave::inline v0::device {
namespace {

std::vector<int> doubling_up_to(int most) {
  std::vector<int> counts;
  for (int n = 1; n < most; n *= 2) counts.push_back(n);
  counts.push_back(std::max(most, 1));
  return counts;
}

}  // namespace

Governor::~Governor() = default;
ForwardingGovernor::~ForwardingGovernor() = default;

struct ThreadsGovernor::State {
  Setter set;
  int initial = 1;
  std::mutex mutex;
  std::map<std::thread::id, core::LevelIndex> applied;
};

ThreadsGovernor::ThreadsGovernor(int most, int initial, Setter set)
    : ThreadsGovernor(doubling_up_to(most), initial, std::move(set)) {}

ThreadsGovernor::ThreadsGovernor(std::vector<int> counts, int initial, Setter set)
    : state_(std::make_unique<State>()) {
  if (counts.empty() || counts.front() < 1 ||
      std::adjacent_find(counts.begin(), counts.end(), std::greater_equal<>()) != counts.end())
    throw std::invalid_argument("ThreadsGovernor: the counts must ascend from at least 1");
  if (!set)
    throw std::invalid_argument("ThreadsGovernor: no function to set the number of threads");
  knob_.name = "threads";
  knob_.unit = "threads";
  for (int n : counts) knob_.levels.push_back({std::to_string(n), static_cast<double>(n)});
  state_->set = std::move(set);
  state_->initial = std::max(initial, 1);
}

ThreadsGovernor::~ThreadsGovernor() = default;

core::Result<void> ThreadsGovernor::apply(core::LevelIndex level) {
  if (level >= knob_.levels.size())
    return core::fail(
        core::Errc::invalid_argument,
        "no level " + std::to_string(level) + "; there are " + std::to_string(knob_.levels.size()),
        knob_.name);
  if (auto set = state_->set(static_cast<int>(knob_.levels[level].value)); !set)
    return set;
  const std::lock_guard lock(state_->mutex);
  state_->applied[std::this_thread::get_id()] = level;
  return {};
}

core::Result<std::optional<core::LevelIndex>> ThreadsGovernor::current() {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->applied.find(std::this_thread::get_id());
  if (found == state_->applied.end())
    return std::nullopt;
  return found->second;
}

core::Result<void> ThreadsGovernor::restore() {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->applied.erase(std::this_thread::get_id()) == 0)
      return {};
  }
  return state_->set(state_->initial);
}

}  // namespace cleave::inline v0::device
