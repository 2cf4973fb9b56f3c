#include <cleave/scheduler/energy_budget.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

namespace cleave::inline v0::scheduler {
namespace {

using core::Errc;
using core::fail;
using core::Joules;
using core::Result;
using core::Seconds;

struct Unit {
  std::string_view name;
  double size;
};

constexpr std::array joule_units = {Unit{"J", 1}, Unit{"kJ", 1e3}, Unit{"MJ", 1e6},
                                    Unit{"Wh", 3600}, Unit{"kWh", 3.6e6}};
constexpr std::array watt_units = {Unit{"W", 1}, Unit{"mW", 1e-3}};
constexpr std::array time_units = {Unit{"s", 1}, Unit{"min", 60}, Unit{"h", 3600}};

template <class Units>
std::optional<double> size_of(std::string_view name, const Units& units) {
  for (const Unit& unit : units)
    if (unit.name == name)
      return unit.size;
  return std::nullopt;
}

// "4h"; the unit must be there.
template <class Units>
std::optional<double> quantity(std::string_view text, const Units& units) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc())
    return std::nullopt;
  std::string_view name = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
  const auto size = size_of(name, units);
  const double value = size ? number * *size : 0;
  return value > 0 && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

bool usable(double value) {
  return value > 0 && std::isfinite(value);
}

}  // namespace

Result<EnergyBudgetOptions> parse_energy_budget(std::string_view text) {
  EnergyBudgetOptions options;
  if (const auto colon = text.find(':'); colon != std::string_view::npos) {
    const auto joules = quantity(text.substr(0, colon), joule_units);
    const auto time = quantity(text.substr(colon + 1), time_units);
    if (joules && time) {
      options.battery = Joules(*joules);
      options.lasting = Seconds(*time);
      return options;
    }
  } else if (const auto slash = text.find('/'); slash != std::string_view::npos) {
    const auto joules = quantity(text.substr(0, slash), joule_units);
    const auto time = size_of(text.substr(slash + 1), time_units);
    if (joules && time) {
      options.rate = core::Watts(*joules / *time);
      return options;
    }
  } else if (const auto watts = quantity(text, watt_units)) {
    options.rate = core::Watts(*watts);
    return options;
  }
  return fail(Errc::invalid_argument, "not an energy budget", std::string(text.substr(0, 40)),
              "write it like 500J/h, 2W, or 20kJ:4h for a battery that is to last for four hours");
}

Result<std::shared_ptr<EnergyBudget>> EnergyBudget::make(const EnergyBudgetOptions& options,
                                                         Seconds now) {
  const bool battery = options.battery.count() != 0 || options.lasting.count() != 0;
  const auto bad = [](const char* what) {
    return fail(Errc::invalid_argument, what, "energy budget",
                "a rate above 0, or a battery above 0 and how long it is to last");
  };
  if (battery && options.rate.count() != 0)
    return bad("an energy budget has a rate or a battery, not both");
  if (battery ? !usable(options.battery.count()) || !usable(options.lasting.count())
              : !usable(options.rate.count()))
    return bad("the energy budget is empty, or no number");
  if (!usable(options.horizon.count()) || !std::isfinite(now.count()))
    return bad("the horizon of an energy budget must be above 0");
  return std::shared_ptr<EnergyBudget>(new EnergyBudget(options, now));
}

EnergyBudget::EnergyBudget(const EnergyBudgetOptions& options, Seconds now)
    : rate_(options.rate.count()),
      battery_(options.battery.count()),
      lasting_(options.lasting.count()),
      capacity_(battery_ > 0 ? battery_ * std::min(1.0, options.horizon / options.lasting)
                             : rate_ * options.horizon.count()) {
  restart(now);
}

void EnergyBudget::restart(Seconds now) {
  const std::lock_guard lock(mutex_);
  now_ = now.count();
  level_ = capacity_;
  spent_ = 0;
  if (battery_ > 0) {
    pool_ = battery_ - capacity_;
    end_ = now_ + lasting_;
  }
}

void EnergyBudget::advance(Seconds time) {
  const double now = time.count();
  if (!(now > now_))
    return;
  const double room = std::max(0.0, capacity_ - level_);
  if (pool_ > 0) {
    // Evenly over what is left of the time; at its end all that is left.
    const double in = now >= end_ ? pool_ : std::min(room, pool_ * (now - now_) / (end_ - now_));
    pool_ -= in;
    level_ += in;
  } else {
    level_ += std::min(room, rate_ * (now - now_));
  }
  now_ = now;
}

EnergyState EnergyBudget::state(Seconds now) {
  const std::lock_guard lock(mutex_);
  advance(now);
  const double level = std::max(0.0, level_);
  return {.available = Joules(level), .fill = std::min(1.0, level / capacity_)};
}

bool EnergyBudget::reserve(Joules joules, Seconds now) {
  const std::lock_guard lock(mutex_);
  advance(now);
  if (!(joules.count() <= level_))
    return false;
  level_ -= std::max(0.0, joules.count());
  return true;
}

void EnergyBudget::settle(Joules reserved, Joules spent, Seconds now) {
  const std::lock_guard lock(mutex_);
  // Before what comes back, which may not fit into the bucket with what has come in since.
  advance(now);
  const double took =
      std::isfinite(spent.count()) ? std::max(0.0, spent.count()) : std::max(0.0, reserved.count());
  const double back = std::max(0.0, reserved.count()) - took;
  const double fits = std::min(back, std::max(0.0, capacity_ - level_));
  // A battery keeps what the bucket cannot hold, and after its time there is no bucket.
  if (end_ > 0 && now_ >= end_)
    level_ += back;
  else {
    level_ += fits;
    if (end_ > 0)
      pool_ += back - fits;
  }
  spent_ += took;
}

Joules EnergyBudget::spent() const {
  const std::lock_guard lock(mutex_);
  return Joules(spent_);
}

Joules EnergyBudget::capacity() const {
  return Joules(capacity_);
}

}  // namespace cleave::inline v0::scheduler
