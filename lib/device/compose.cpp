#include <cleave/device/compose.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace cleave::inline v0::device {
namespace {

core::Joules added(core::Joules a, core::Joules b) {
  return core::Joules(std::hypot(a.count(), b.count()));
}

std::string figure(core::Joules joules) {
  struct Unit {
    double scale;
    const char* name;
  };
  const double size = std::abs(joules.count());
  Unit unit{1, "J"};
  for (const Unit& smaller : {Unit{1e-3, "mJ"}, Unit{1e-6, "uJ"}})
    if (size > 0 && size < unit.scale)
      unit = smaller;
  char text[48];
  std::snprintf(text, sizeof text, "%.3g %s", joules.count() / unit.scale, unit.name);
  return text;
}

}  // namespace

SumMeter::SumMeter(std::vector<std::unique_ptr<Meter>> meters) : meters_(std::move(meters)) {
  if (meters_.empty() || std::find(meters_.begin(), meters_.end(), nullptr) != meters_.end())
    throw std::invalid_argument("SumMeter: no meter");
}
SumMeter::~SumMeter() = default;

std::string SumMeter::name() const {
  std::string name;
  for (const auto& meter : meters_) name += (name.empty() ? "" : " + ") + meter->name();
  return name;
}

core::Result<EnergyReading> SumMeter::read() {
  auto sum = meters_.front()->read();
  for (std::size_t i = 1; sum && i < meters_.size(); ++i) {
    const auto next = meters_[i]->read();
    if (!next)
      return core::fail(next);
    if (next->boundary != sum->boundary)
      return core::fail(core::Errc::mismatch,
                        "the meters count within different boundaries: " +
                            std::string(core::to_string(sum->boundary)) + ", and " +
                            std::string(core::to_string(next->boundary)) + " of " +
                            meters_[i]->name(),
                        name(), "open them with the same boundary");
    sum->joules += next->joules;
    sum->resolution += next->resolution;
    sum->overhead += next->overhead;
    sum->error = added(sum->error, next->error);
    if (next->origin == core::Origin::modelled)
      sum->origin = core::Origin::modelled;
    sum->source += " + " + next->source;
  }
  return sum;
}

core::Result<IdlePower> measure_idle(Meter& meter, const std::function<void()>& wait,
                                     const core::Clock& clock) {
  const auto from = meter.read();
  if (!from)
    return core::fail(from);
  const core::Seconds start = clock.now();
  wait();
  const auto to = meter.read();
  if (!to)
    return core::fail(to);
  const core::Seconds time = clock.now() - start;
  if (!(time.count() > 0))
    return core::fail(core::Errc::invalid_argument, "no time passed while idling", meter.name());
  const EnergyReading used = between(*from, *to);
  return IdlePower{used.joules / time, added(used.resolution, used.error) / time};
}

AboveIdleMeter::AboveIdleMeter(std::unique_ptr<Meter> meter, IdlePower idle,
                               std::shared_ptr<core::Clock> clock)
    : meter_(std::move(meter)),
      idle_(idle),
      clock_(clock ? std::move(clock) : std::make_shared<core::SteadyClock>()),
      start_(clock_->now()) {
  if (!meter_)
    throw std::invalid_argument("AboveIdleMeter: no meter");
}
AboveIdleMeter::~AboveIdleMeter() = default;

std::string AboveIdleMeter::name() const {
  return meter_->name() + " - idle";
}

core::Result<EnergyReading> AboveIdleMeter::read() {
  auto reading = meter_->read();
  if (!reading)
    return reading;
  const core::Seconds time = clock_->now() - start_;
  reading->joules -= idle_.power * time;
  reading->error = added(reading->error, idle_.error * time);
  char text[48];
  std::snprintf(text, sizeof text, " - %.3f W idle", idle_.power.count());
  reading->source += text;
  return reading;
}

std::string RepeatedEnergy::describe() const {
  if (repetitions == 1)
    return figure(one.joules) + " measured once, resolution " + figure(one.resolution);
  return figure(one.joules) + " measured over " + std::to_string(repetitions) +
         " repetitions, resolution " + figure(one.resolution);
}

core::Result<RepeatedEnergy> measure_repeated(Meter& meter,
                                              const std::function<core::Result<void>()>& work,
                                              const core::Clock& clock,
                                              const RepetitionOptions& options) {
  if (!(options.resolutions >= 1) || options.most < 1)
    return core::fail(core::Errc::invalid_argument,
                      "at least one resolution and one repetition are needed", meter.name());
  const auto from = meter.read();
  if (!from)
    return core::fail(from);
  const core::Seconds start = clock.now();
  const auto time_left = [&] { return clock.now() - start < options.longest; };
  EnergyReading used;
  int done = 0;
  do {
    const int target = std::min(options.most - done, std::max(done, 1)) + done;
    do {
      if (auto ran = work(); !ran)
        return core::fail(ran);
      ++done;
    } while (done < target && time_left());
    const auto to = meter.read();
    if (!to)
      return core::fail(to);
    used = between(*from, *to);
  } while (used.joules < options.resolutions * used.resolution && done < options.most &&
           time_left());
  if (used.joules < used.resolution)
    return core::fail(core::Errc::exhausted,
                      "the meter sees nothing of it: " + figure(used.joules) + " after " +
                          std::to_string(done) + " repetitions, resolution " +
                          figure(used.resolution),
                      meter.name(), "allow more repetitions and time, or use a finer meter");
  RepeatedEnergy result;
  result.repetitions = done;
  result.time = clock.now() - start;
  result.one = used;
  result.one.joules = used.joules / done;
  result.one.resolution = used.resolution / done;
  result.one.error = used.error / done;
  result.one.overhead = used.overhead / done;
  return result;
}

}  // namespace cleave::inline v0::device
