#include "profiler/watch.hpp"

#include "profiler/rest.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

namespace cleave::inline v0::profiler {

using core::Seconds;

Watch::Watch(const HostOptions& options, const core::Clock& clock)
    : options_(options), clock_(clock) {}

double Watch::cpu_time() const {
  return (options_.cpu_time ? options_.cpu_time() : process_cpu_time()).count();
}

core::Result<void> Watch::cool_down(Surroundings& seen) {
  if (!options_.load || options_.cool_below <= 0)
    return {};
  constexpr Seconds look_again = core::milliseconds(500);
  const Seconds start = clock_.now();
  while (clock_.now() - start < options_.longest_wait) {
    const auto temperature = options_.load->read().temperature;
    if (!temperature || *temperature <= options_.cool_below)
      break;
    if (options_.stop.stop_requested())
      return core::fail(core::Errc::cancelled, "interrupted");
    if (options_.idle)
      options_.idle(look_again);
    else
      std::this_thread::sleep_for(std::chrono::duration<double>(look_again.count()));
  }
  seen.waited += (clock_.now() - start).count();
  return {};
}

void Watch::begin() {
  start_ = clock_.now();
  if (!options_.load)
    return;
  (void)options_.load->read();  // the next reading tells of what follows
  cpu_ = cpu_time();
}

void Watch::end(Surroundings& seen) {
  const double wall = (clock_.now() - start_).count();
  seen.wall += wall;
  if (!options_.load || wall <= 0)
    return;
  const double own = cpu_time() - cpu_;
  const device::LoadReading reading = options_.load->read();
  if (reading.temperature)
    seen.temperature = std::max(seen.temperature, *reading.temperature);
  if (!reading.utilisation || reading.cpus == 0)
    return;
  const double capacity = wall * reading.cpus;
  const double busy = (*reading.utilisation - reading.nice.value_or(0)) * capacity;
  const double others = std::clamp(busy - own, 0.0, capacity);
  seen.capacity += capacity;
  seen.stolen += reading.steal.value_or(0) * capacity;
  seen.others += others;
  seen.busiest = std::max(seen.busiest, others / capacity);
}

table::Conditions conditions_of(const Surroundings& seen, double took) {
  table::Conditions conditions;
  if (seen.capacity > 0) {
    conditions.steal = seen.stolen / seen.capacity;
    conditions.others = seen.others / seen.capacity;
    conditions.busiest = seen.busiest;
  }
  conditions.temperature = seen.temperature;
  conditions.waited = Seconds(seen.waited);
  conditions.took = Seconds(took);
  return conditions;
}

}  // namespace cleave::inline v0::profiler
