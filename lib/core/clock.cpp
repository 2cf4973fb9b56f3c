#include <cleave/core/clock.hpp>

#include <chrono>

namespace cleave::inline v0::core {

Clock::~Clock() = default;

Seconds SteadyClock::now() const {
  return Seconds(
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

}  // namespace cleave::inline v0::core
