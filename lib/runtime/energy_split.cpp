#include "lib/runtime/energy_split.hpp"

#include <algorithm>

namespace cleave::inline v0::runtime {

std::uint64_t EnergySplit::begin(bool computes) {
  const std::lock_guard lock(mutex_);
  account();
  One one;
  one.computes = computes;
  one.known = last_.has_value();
  under_way_.emplace(next_, one);
  return next_++;
}

void EnergySplit::computes(std::uint64_t id, bool now) {
  const std::lock_guard lock(mutex_);
  // Of one request alone it does not matter when, and reading takes time.
  if (under_way_.size() > 1)
    account();
  under_way_.at(id).computes = now;
}

std::optional<core::Energy> EnergySplit::end(std::uint64_t id) {
  const std::lock_guard lock(mutex_);
  account();
  const One one = under_way_.extract(id).mapped();
  if (!one.known || !last_ || one.joules < last_->resolution)
    return std::nullopt;
  return core::Energy{one.joules, last_->boundary, last_->origin};
}

void EnergySplit::account() {
  auto reading = meter_->read();
  if (!reading) {
    log_.log(core::Severity::warning, "runtime", reading.error().message());
    for (auto& [id, one] : under_way_) one.known = false;
    last_.reset();
    return;
  }
  if (last_ && !under_way_.empty()) {
    const auto active = std::count_if(under_way_.begin(), under_way_.end(),
                                      [](const auto& one) { return one.second.computes; });
    const auto payers = active > 0 ? active : static_cast<std::ptrdiff_t>(under_way_.size());
    const core::Joules each =
        device::between(*last_, *reading).joules / static_cast<double>(payers);
    for (auto& [id, one] : under_way_)
      if (one.computes || active == 0)
        one.joules += each;
  }
  last_ = std::move(*reading);
}

}  // namespace cleave::inline v0::runtime
