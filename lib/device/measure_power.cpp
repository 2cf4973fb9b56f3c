#include <cleave/device/compose.hpp>
#include <cleave/device/measure_power.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <thread>
#include <vector>

namespace cleave::inline v0::device {
namespace {

using core::Errc;
using core::fail;
using Levels = std::vector<core::LevelIndex>;

std::vector<Levels> combinations(const std::vector<core::Knob>& knobs) {
  std::vector<Levels> all{{}};
  for (const core::Knob& knob : knobs) {
    std::vector<Levels> longer;
    for (const Levels& prefix : all)
      for (std::size_t level = 0; level < knob.levels.size(); ++level) {
        longer.push_back(prefix);
        longer.back().push_back(static_cast<core::LevelIndex>(level));
      }
    all = std::move(longer);
  }
  return all;
}

core::Result<core::Watts> power_of(Meter& meter, const core::Clock& clock, core::Seconds time,
                                   const std::function<core::Result<void>()>& once) {
  // At least so long, however short one run is.
  const auto for_a_while = [&]() -> core::Result<void> {
    const core::Seconds start = clock.now();
    do {
      if (auto ran = once(); !ran)
        return ran;
    } while (clock.now() - start < time);
    return {};
  };
  RepetitionOptions repetition;
  repetition.longest = 10 * time;
  const auto used = measure_repeated(meter, for_a_while, clock, repetition);
  if (!used)
    return fail(used);
  if (used->one.origin != core::Origin::measured)
    return fail(Errc::unsupported, "the meter computes its energy and measures nothing",
                meter.name());
  return used->one.joules / (used->time / used->repetitions);
}

}  // namespace

core::Result<PowerOf> measure_power(Meter& meter, Arbiter& knobs, const core::Clock& clock,
                                    const PowerMeasurement& measurement) {
  if (!measurement.work || !(measurement.time.count() > 0))
    return fail(Errc::invalid_argument, "there is no work to measure, or no time for it",
                meter.name());
  const auto idle = [&]() -> core::Result<void> {
    if (measurement.idle)
      measurement.idle(measurement.time);
    else
      std::this_thread::sleep_for(std::chrono::duration<double>(measurement.time.count()));
    return {};
  };
  auto table = std::make_shared<std::map<Levels, HostPower>>();
  const auto all = combinations(knobs.knobs());
  for (const Levels& levels : all) {
    if (measurement.stop.stop_requested())
      return fail(Errc::cancelled, "interrupted");
    const auto lease = knobs.acquire(levels);
    if (!lease)
      return fail(lease);
    const auto waiting = power_of(meter, clock, measurement.time, idle);
    if (!waiting)
      return fail(waiting);
    const auto busy = power_of(meter, clock, measurement.time, measurement.work);
    if (!busy)
      return fail(busy);
    (*table)[levels] = {*busy, *waiting, *busy, core::Origin::measured};
    if (measurement.progress)
      measurement.progress(double(table->size()) / double(all.size()));
  }
  return PowerOf([table](std::span<const core::LevelIndex> levels) {
    return table->at(Levels(levels.begin(), levels.end()));
  });
}

}  // namespace cleave::inline v0::device
