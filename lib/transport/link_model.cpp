#include "lib/transport/random.hpp"

#include <cleave/transport/link_model.hpp>

#include <algorithm>
#include <cmath>

namespace cleave::inline v0::transport {

using core::Seconds;

LinkModel::LinkModel(core::BytesPerSecond rate, Seconds delay, Seconds jitter, std::uint64_t seed)
    : rate_(rate),
      delay_(delay),
      jitter_(jitter),
      departed_(-std::numeric_limits<double>::infinity()),
      arrived_(departed_),
      random_(seed) {}

LinkModel::Times LinkModel::send(std::size_t bytes, Seconds now) {
  departed_ = std::max(now, departed_) + Seconds(static_cast<double>(bytes) / rate_.count());
  arrived_ = std::max(arrived_, departed_ + delay_ + jitter_ * uniform(random_));
  return {departed_, arrived_};
}

void LinkModel::set(core::BytesPerSecond rate, Seconds delay, Seconds jitter) {
  rate_ = rate;
  delay_ = delay;
  jitter_ = jitter;
}

Seconds LinkModel::backlog(Seconds now) const {
  return std::max(Seconds(0), departed_ - now);
}

std::size_t LinkModel::quantum() const {
  const double half_a_millisecond = rate_.count() * 0.5e-3;
  return static_cast<std::size_t>(std::clamp(half_a_millisecond, 1448.0, 65536.0));
}

}  // namespace cleave::inline v0::transport
