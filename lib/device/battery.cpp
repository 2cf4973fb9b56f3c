#include "lib/device/parse.hpp"

#include <cleave/device/battery.hpp>

#include <cmath>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

// The class's units: microwatts, microamperes, microvolts, microwatt-hours, microampere-hours.
constexpr double micro = 1e-6;
constexpr double seconds_per_hour = 3600;

struct Battery {
  std::shared_ptr<Files> files;
  fs::path dir;

  [[nodiscard]] bool has(const char* file) const { return files->exists(dir / file); }
  [[nodiscard]] core::Result<double> number(const char* file) const {
    const auto value = read_number<long long>(*files, dir / file);
    if (!value)
      return core::fail(value);
    return static_cast<double>(*value);
  }

  [[nodiscard]] core::Result<void> check_discharging() const {
    const auto status = files->read(dir / "status");
    if (!status)
      return core::fail(status);
    if (*status != "Discharging")
      return core::fail(
          core::Errc::unavailable,
          "the battery is not discharging (" + *status + "): it does not feed this machine",
          dir.string(), "unplug the power supply to measure by the battery");
    return {};
  }

  // Some drivers count a discharge below zero.
  [[nodiscard]] core::Result<core::Watts> power() const {
    if (auto discharging = check_discharging(); !discharging)
      return core::fail(discharging);
    if (has("power_now")) {
      const auto watts = number("power_now");
      if (!watts)
        return core::fail(watts);
      return core::Watts(std::abs(*watts) * micro);
    }
    const auto amperes = number("current_now");
    if (!amperes)
      return core::fail(amperes);
    const auto volts = number("voltage_now");
    if (!volts)
      return core::fail(volts);
    return core::Watts(std::abs(*amperes) * micro * *volts * micro);
  }

  // Microwatt-hours left. A charge has the voltage of this moment, so a cell whose voltage falls
  // seems to lose more than it gives: what is left is summed step by step instead.
  [[nodiscard]] std::function<core::Result<double>()> left() const {
    if (has("energy_now"))
      return [self = *this]() -> core::Result<double> {
        if (auto discharging = self.check_discharging(); !discharging)
          return core::fail(discharging);
        return self.number("energy_now");
      };
    struct State {
      bool primed = false;
      double charge = 0, volts = 0, left = 0;
    };
    return [self = *this, state = std::make_shared<State>()]() -> core::Result<double> {
      if (auto discharging = self.check_discharging(); !discharging)
        return core::fail(discharging);
      const auto charge = self.number("charge_now");
      if (!charge)
        return core::fail(charge);
      const auto microvolts = self.number("voltage_now");
      if (!microvolts)
        return core::fail(microvolts);
      const double volts = *microvolts * micro;
      if (!state->primed)
        // Twice what there is: a voltage that rises must not take the sum below 0.
        *state = {true, *charge, volts, 2 * *charge * volts};
      state->left -= (state->charge - *charge) * 0.5 * (state->volts + volts);
      state->charge = *charge;
      state->volts = volts;
      return state->left;
    };
  }
};

}  // namespace

std::vector<std::string> batteries(const Machine& machine) {
  Files& files = *machine.files;
  const fs::path root = machine.sys / "class/power_supply";
  std::vector<std::string> found;
  for (const std::string& supply : files.list(root)) {
    const auto type = files.read(root / supply / "type");
    const auto scope = files.read(root / supply / "scope");
    if (type && *type == "Battery" && !(scope && *scope == "Device"))
      found.push_back(supply);
  }
  return found;
}

core::Result<std::unique_ptr<Meter>> open_battery_meter(const std::string& battery,
                                                        SamplingOptions options, Machine machine,
                                                        core::Boundary boundary) {
  const Battery cell{machine.files, machine.sys / "class/power_supply" / battery};
  if (!cell.has("type"))
    return core::fail(core::Errc::not_found, "there is no such battery", cell.dir.string());
  const std::string name = "battery:" + battery;
  const bool product = cell.has("current_now") && cell.has("voltage_now");
  if (cell.has("power_now") || product) {
    PowerSource source;
    source.name = name;
    source.source = (cell.dir / (cell.has("power_now") ? "power_now" : "current_now")).string() +
                    (cell.has("power_now") ? "" : " * voltage_now");
    source.read = [cell] { return cell.power(); };
    source.period = core::Seconds(1);
    return SamplingMeter::open(std::move(source), std::move(options), boundary);
  }
  const bool energy = cell.has("energy_now");
  if (!energy && !(cell.has("charge_now") && cell.has("voltage_now")))
    return core::fail(core::Errc::unsupported, "the battery tells neither power nor energy",
                      cell.dir.string());
  CounterSource source;
  source.name = name;
  source.source = (cell.dir / (energy ? "energy_now" : "charge_now")).string() +
                  (energy ? "" : " * voltage_now");
  source.read = cell.left();
  source.unit = core::Joules(micro * seconds_per_hour);
  // Gauges of the Smart Battery Data Specification count in steps of 10 mWh, or of 1 mAh.
  const auto volts = energy ? core::Result<double>(0.0) : cell.number("voltage_now");
  if (!volts)
    return core::fail(volts);
  source.resolution = core::Joules((energy ? 10e-3 : 1e-3 * *volts * micro) * seconds_per_hour);
  source.falls = true;
  return CounterMeter::open(std::move(source), boundary);
}

}  // namespace cleave::inline v0::device
