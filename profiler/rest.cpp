#include "profiler/rest.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

namespace cleave::inline v0::profiler {

using core::Seconds;

Seconds process_cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return Seconds(static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9);
}

Rest::Rest(RestOptions options)
    : options_(std::move(options)), clock_(options_.clock != nullptr ? *options_.clock : steady_) {
  if (!options_.cpu_time)
    options_.cpu_time = process_cpu_time;
  if (!options_.idle)
    options_.idle = [](Seconds time) {
      std::this_thread::sleep_for(std::chrono::duration<double>(time.count()));
    };
  since_ = clock_.now();
  cpu_since_ = options_.cpu_time();
}

void Rest::wait(double fraction, std::span<const core::LevelIndex> levels) {
  if (options_.gap <= Seconds(0))
    return;
  Seconds time = options_.gap * (1 + fraction);
  if (const auto slice = options_.slice ? options_.slice(levels) : std::nullopt) {
    const Seconds used = options_.cpu_time() - cpu_since_;
    const Seconds paid = clock_.now() - since_;
    const Seconds due = used * (slice->period / slice->quota) - paid;
    time = std::max(time, due + slice->period * fraction);
  }
  options_.idle(time);
  since_ = clock_.now();
  cpu_since_ = options_.cpu_time();
}

}  // namespace cleave::inline v0::profiler
