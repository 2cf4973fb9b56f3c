#include <cleave/device/arbiter.hpp>

#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

namespace cleave::inline v0::device {

struct Lease::State {
  std::mutex mutex;
  std::vector<std::unique_ptr<Governor>> governors;
  std::vector<Compromise> compromises;
  std::vector<SwitchCost> costs;
  // What each governor was last set to; nothing if not set yet or if a change failed half-way.
  std::vector<std::optional<core::LevelIndex>> applied;
  std::map<std::uint64_t, std::vector<core::LevelIndex>> leases;  // by age
  std::uint64_t next_id = 1;
  std::shared_ptr<core::Clock> clock;
  core::LogSink* log = nullptr;
  bool closed = false;

  [[nodiscard]] core::LevelIndex wanted(std::size_t knob) const {
    core::LevelIndex level = leases.begin()->second[knob];
    for (const auto& [id, levels] : leases) {
      if (compromises[knob] == Compromise::highest)
        level = std::max(level, levels[knob]);
      else if (compromises[knob] == Compromise::lowest)
        level = std::min(level, levels[knob]);
    }
    return level;
  }

  core::Result<core::Seconds> set(std::size_t knob, core::LevelIndex level) {
    if (applied[knob] == level && !governors[knob]->per_calling_thread())
      return core::Seconds(0);
    const core::Seconds begin = clock->now();
    const bool changes = applied[knob] != level;
    applied[knob].reset();
    if (auto done = governors[knob]->apply(level); !done)
      return core::fail(done);
    applied[knob] = level;
    const core::Seconds took = clock->now() - begin;
    if (changes) {
      SwitchCost& cost = costs[knob];
      ++cost.changes;
      if (cost.changes <= 2)
        cost.mean = took;
      else
        cost.mean += (took - cost.mean) / static_cast<double>(cost.changes - 1);
      cost.most = std::max(cost.most, took);
    }
    return took;
  }

  // Moves the shared knobs to what the leases held now agree on.
  core::Result<core::Seconds> settle() {
    core::Seconds total;
    for (std::size_t i = 0; i < governors.size(); ++i) {
      if (governors[i]->per_calling_thread())
        continue;
      const auto took = set(i, wanted(i));
      if (!took)
        return took;
      total += *took;
    }
    return total;
  }

  void release(std::uint64_t id) {
    const std::lock_guard lock(mutex);
    if (leases.erase(id) == 0 || leases.empty() || closed)
      return;
    // Nobody waits for this change, so its failure is told to the log; the next lease tries again.
    if (const auto settled = settle(); !settled)
      log->log(core::Severity::warning, "device",
               "a knob could not be changed after a lease ended: " + settled.error().message());
  }

  core::Result<void> restore_all() {
    const std::lock_guard lock(mutex);
    closed = true;
    core::Result<void> first;
    for (auto it = governors.rbegin(); it != governors.rend(); ++it)
      if (auto restored = (*it)->restore(); !restored && first)
        first = restored;
    return first;
  }
};

Lease::Lease() = default;

Lease::Lease(Lease&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)),
      id_(other.id_),
      granted_(std::move(other.granted_)),
      switch_time_(other.switch_time_) {}

Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    state_ = std::exchange(other.state_, nullptr);
    id_ = other.id_;
    granted_ = std::move(other.granted_);
    switch_time_ = other.switch_time_;
  }
  return *this;
}

Lease::~Lease() {
  release();
}

void Lease::release() {
  if (const auto state = std::exchange(state_, nullptr))
    state->release(id_);
}

Arbiter::Arbiter(std::vector<std::unique_ptr<Governor>> governors, ArbiterOptions options)
    : state_(std::make_shared<Lease::State>()) {
  state_->governors = std::move(governors);
  state_->compromises = std::move(options.compromises);
  state_->compromises.resize(state_->governors.size(), Compromise::highest);
  for (std::size_t i = 0; i < state_->governors.size(); ++i)
    if (state_->governors[i]->knob().categorical)
      state_->compromises[i] = Compromise::first;
  state_->costs.resize(state_->governors.size());
  state_->applied.resize(state_->governors.size());
  state_->clock = options.clock ? std::move(options.clock) : std::make_shared<core::SteadyClock>();
  state_->log = options.log;
}

Arbiter::~Arbiter() {
  if (const auto restored = state_->restore_all(); !restored)
    state_->log->log(core::Severity::error, "device",
                     "a setting could not be put back: " + restored.error().message());
}

std::vector<core::Knob> Arbiter::knobs() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<core::Knob> knobs;
  for (std::size_t i = 0; i < state_->governors.size(); ++i) {
    knobs.push_back(state_->governors[i]->knob());
    if (state_->costs[i].changes > 0)
      knobs.back().switch_cost = state_->costs[i].mean;
  }
  return knobs;
}

std::vector<SwitchCost> Arbiter::switch_costs() const {
  const std::lock_guard lock(state_->mutex);
  return state_->costs;
}

core::Result<Lease> Arbiter::acquire(std::span<const core::LevelIndex> levels) {
  Lease::State& state = *state_;
  const std::lock_guard lock(state.mutex);
  if (state.closed)
    return core::fail(core::Errc::cancelled,
                      "the settings have been put back; no lease is granted");
  if (levels.size() != state.governors.size())
    return core::fail(core::Errc::invalid_argument, "a lease needs one level per knob: " +
                                                        std::to_string(state.governors.size()) +
                                                        ", not " + std::to_string(levels.size()));
  for (std::size_t i = 0; i < levels.size(); ++i)
    if (const core::Knob& knob = state.governors[i]->knob(); levels[i] >= knob.levels.size())
      return core::fail(core::Errc::invalid_argument,
                        "no level " + std::to_string(levels[i]) + "; there are " +
                            std::to_string(knob.levels.size()),
                        knob.name);

  const std::uint64_t id = state.next_id++;
  state.leases.emplace(id, std::vector<core::LevelIndex>(levels.begin(), levels.end()));
  auto took = state.settle();
  for (std::size_t i = 0; took && i < levels.size(); ++i)
    if (state.governors[i]->per_calling_thread()) {
      const auto set = state.set(i, levels[i]);
      if (set)
        *took += *set;
      else
        took = core::fail(set);
    }
  if (!took) {
    state.leases.erase(id);
    // The knobs that did change go back to what the other leases were promised.
    if (!state.leases.empty())
      if (const auto settled = state.settle(); !settled)
        state.log->log(
            core::Severity::warning, "device",
            "knobs could not be put back after a failed lease: " + settled.error().message());
    return core::fail(took);
  }
  Lease lease;
  lease.state_ = state_;
  lease.id_ = id;
  lease.switch_time_ = *took;
  for (std::size_t i = 0; i < levels.size(); ++i) lease.granted_.push_back(*state.applied[i]);
  return lease;
}

core::Result<void> Arbiter::restore_all() {
  return state_->restore_all();
}

}  // namespace cleave::inline v0::device
