#include "lib/device/find_gpu.hpp"

#include <cleave/device/battery.hpp>
#include <cleave/device/discover.hpp>
#include <cleave/device/hwmon.hpp>

#include <utility>

namespace cleave::inline v0::device {

Governors discover_governors(const DiscoverOptions& options, Machine machine) {
  Governors found;
  const auto keep = [&found](const std::string& name, auto opened) {
    if (opened)
      found.governors.push_back(std::move(*opened));
    else
      found.lacking.push_back({name, opened.error()});
  };
  const auto policies = cpufreq_policies(machine);
  if (policies.empty())
    found.lacking.push_back(
        {"cpu_frequency", core::Error{core::Errc::unsupported, "this machine has no cpufreq driver",
                                      (machine.sys / "devices/system/cpu/cpufreq").string(),
                                      "emulate a board's frequency levels with the CPU share"}});
  for (const std::string& policy : policies)
    keep(policy == policies.front() ? "cpu_frequency" : "cpu_frequency." + policy,
         CpufreqGovernor::open(policy, options.cpufreq, machine));
  const auto devices = devfreq_devices(machine);
  if (devices.empty())
    found.lacking.push_back(
        {"devfreq",
         core::Error{core::Errc::unsupported, "no GPU, memory or bus with a clock to set",
                     (machine.sys / "class/devfreq").string(),
                     "boards have them; elsewhere there is nothing to do"}});
  for (const std::string& device : devices)
    keep("devfreq." + device, DevfreqGovernor::open(device, options.devfreq, machine));
  keep("cpus", AffinityGovernor::open(options.affinity, machine));
  const auto gpus = find_gpus(machine);
  if (!gpus)
    found.lacking.push_back({"gpu_clock", gpus.error()});
  for (const auto& [nvml, gpu] : gpus.value_or(std::vector<FoundGpu>())) {
    const std::string number = gpu.index > 0 ? "." + std::to_string(gpu.index) : "";
    keep("gpu_clock" + number, open_gpu_clock_governor(nvml, gpu, options.gpu));
    keep("gpu_power" + number, open_gpu_power_governor(nvml, gpu, options.gpu));
  }
  if (!options.cpu_share.levels.empty())
    keep(options.cpu_share.name, CpuShareGovernor::open(options.cpu_share, machine));
  return found;
}

Meters discover_meters(Machine machine, const SamplingOptions& sampling) {
  Meters found;
  const auto keep = [&found](const std::string& name, auto opened) {
    if (opened)
      found.meters.push_back(std::move(*opened));
    else
      found.lacking.push_back({name, opened.error()});
  };
  const auto lack = [&found](const std::string& name, const std::string& what,
                             const std::filesystem::path& where, const std::string& hint) {
    found.lacking.push_back({name, core::Error{core::Errc::not_found, what, where.string(), hint}});
  };
  keep("rapl", RaplMeter::open(machine));
  const auto sensors = hwmon_sensors(machine);
  if (sensors.empty())
    lack("hwmon", "no power sensor", machine.sys / "class/hwmon",
         "an INA219 or INA226 on the supply line, with the driver ina2xx, is one");
  for (const HwmonSensor& sensor : sensors)
    keep(sensor.name, open_hwmon_meter(sensor, sampling, machine));
  const auto cells = batteries(machine);
  if (cells.empty())
    lack("battery", "no battery", machine.sys / "class/power_supply",
         "machines on mains have none");
  for (const std::string& cell : cells)
    keep("battery:" + cell, open_battery_meter(cell, sampling, machine));
  const auto gpus = find_gpus(machine);
  if (!gpus)
    found.lacking.push_back({"nvml", gpus.error()});
  for (const auto& [nvml, gpu] : gpus.value_or(std::vector<FoundGpu>()))
    keep("nvml:" + std::to_string(gpu.index), open_nvml_meter(nvml, gpu, sampling));
  return found;
}

}  // namespace cleave::inline v0::device
