#include "lib/device/find_gpu.hpp"

#include <cleave/device/battery.hpp>
#include <cleave/device/command.hpp>
#include <cleave/device/compose.hpp>
#include <cleave/device/hwmon.hpp>
#include <cleave/device/open_meter.hpp>

#include <vector>

namespace cleave::inline v0::device {
namespace {

using Opened = core::Result<std::unique_ptr<Meter>>;

constexpr std::string_view kinds =
    "auto, rapl, hwmon:CHIP/RAIL, battery:NAME, nvml:N, command:watts:COMMAND and "
    "command:joules:COMMAND are known";

struct Opening {
  const SamplingOptions& sampling;
  const Machine& machine;
  core::Boundary boundary;

  [[nodiscard]] Opened rapl() const {
    auto meter = RaplMeter::open(machine, boundary);
    if (!meter)
      return core::fail(meter);
    return std::move(*meter);
  }

  [[nodiscard]] Opened battery(const std::string& name) const {
    const auto cells = batteries(machine);
    if (name.empty() && cells.empty())
      return core::fail(core::Errc::not_found, "this machine has no battery", "battery");
    return open_battery_meter(name.empty() ? cells.front() : name, sampling, machine, boundary);
  }

  [[nodiscard]] Opened hwmon(const std::string& name) const {
    std::string there;
    for (const HwmonSensor& sensor : hwmon_sensors(machine)) {
      if (sensor.name == name)
        return open_hwmon_meter(sensor, sampling, machine, boundary);
      there += (there.empty() ? "there are " : ", ") + sensor.name;
    }
    return core::fail(core::Errc::not_found, "there is no such power sensor", name,
                      there.empty() ? "this machine has none" : there);
  }

  [[nodiscard]] Opened gpu(const std::string& number) const {
    const auto found = find_gpu("nvml", number, machine);
    if (!found)
      return core::fail(found);
    return open_nvml_meter(found->nvml, found->gpu, sampling, boundary);
  }

  [[nodiscard]] Opened command(const std::string& text) const {
    CommandMeterOptions options;
    options.boundary = boundary;
    for (const auto& [prefix, prints] :
         {std::pair{std::string_view("watts:"), CommandMeterOptions::Prints::power},
          std::pair{std::string_view("joules:"), CommandMeterOptions::Prints::energy}})
      if (text.starts_with(prefix)) {
        options.command = text.substr(prefix.size());
        options.prints = prints;
        return open_command_meter(std::move(options), sampling);
      }
    return core::fail(core::Errc::invalid_argument,
                      "nothing says whether the command prints watts or joules", "command:" + text,
                      "write command:watts:COMMAND or command:joules:COMMAND");
  }

  [[nodiscard]] Opened best() const {
    auto processor = rapl();
    if (!processor) {
      auto cell = battery("");
      return cell ? std::move(cell) : std::move(processor);
    }
    std::vector<std::unique_ptr<Meter>> meters;
    meters.push_back(std::move(*processor));
    if (!Nvml::load(machine.nvml))
      return std::move(meters.front());
    const auto gpus = find_gpus(machine);
    if (!gpus)
      return core::fail(gpus);
    for (const auto& [nvml, gpu] : *gpus) {
      auto meter = open_nvml_meter(nvml, gpu, sampling, boundary);
      if (!meter)
        return meter;
      meters.push_back(std::move(*meter));
    }
    return summed(std::move(meters));
  }

  [[nodiscard]] Opened one(const std::string& name) const {
    const auto colon = name.find(':');
    const std::string kind = name.substr(0, colon);
    const std::string rest = colon == std::string::npos ? "" : name.substr(colon + 1);
    if (name == "auto")
      return best();
    if (name == "rapl")
      return rapl();
    if (kind == "battery")
      return battery(rest);
    if (kind == "hwmon")
      return hwmon(name);
    if (kind == "nvml")
      return gpu(rest);
    if (kind == "command")
      return command(rest);
    return core::fail(core::Errc::invalid_argument, "there is no such kind of meter", name,
                      std::string(kinds));
  }

  static Opened summed(std::vector<std::unique_ptr<Meter>> meters) {
    if (meters.size() == 1)
      return std::move(meters.front());
    return std::make_unique<SumMeter>(std::move(meters));
  }
};

}  // namespace

core::Result<std::unique_ptr<Meter>> open_meter(const std::string& names,
                                                const SamplingOptions& sampling,
                                                const Machine& machine, core::Boundary boundary) {
  const Opening opening{sampling, machine, boundary};
  std::vector<std::unique_ptr<Meter>> meters;
  std::size_t begin = 0;
  while (begin <= names.size()) {
    const bool command = names.compare(begin, 8, "command:") == 0;
    const auto end = command ? names.size() : std::min(names.find(',', begin), names.size());
    auto meter = opening.one(names.substr(begin, end - begin));
    if (!meter)
      return meter;
    meters.push_back(std::move(*meter));
    begin = end + 1;
  }
  return Opening::summed(std::move(meters));
}

}  // namespace cleave::inline v0::device
