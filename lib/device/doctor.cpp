#include "lib/device/cgroup.hpp"
#include "lib/device/parse.hpp"
#include "lib/device/processor.hpp"

#include <cleave/device/affinity.hpp>
#include <cleave/device/battery.hpp>
#include <cleave/device/cpu_share.hpp>
#include <cleave/device/cpufreq.hpp>
#include <cleave/device/devfreq.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/device/hwmon.hpp>
#include <cleave/device/meter.hpp>
#include <cleave/device/nvml.hpp>
#include <cleave/device/sensors.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string percent(double share) {
  return fixed(100 * share, 0) + " %";
}

Finding look_at_cpu(const Machine& machine) {
  const int cpus = online_cpus(machine);
  const std::string model = processor_name(machine);
  if (cpus == 0)
    return {"cpu", Status::warning, "the number of CPUs cannot be read",
            "mount procfs on " + machine.proc.string()};
  return {
      "cpu", Status::ok,
      std::to_string(cpus) + (cpus == 1 ? " CPU" : " CPUs") + (model.empty() ? "" : ", " + model),
      ""};
}

Finding look_at_load(const Machine& machine) {
  const auto text = machine.files->read(machine.proc / "loadavg");
  const auto fields = text ? words(*text) : std::vector<std::string_view>();
  const auto load = fields.empty() ? std::nullopt : parse_number<double>(fields[0]);
  if (!load)
    return {"load", Status::warning, "the load cannot be read", ""};
  // Half a CPU of other work already shows in a measurement.
  if (*load > 0.5)
    return {"load", Status::warning, fixed(*load, 2) + " tasks running over the last minute",
            "stop other programs before profiling"};
  return {"load", Status::ok, fixed(*load, 2) + " tasks running over the last minute", ""};
}

Finding look_at_memory(const Machine& machine) {
  const LoadReading load = LoadSensor(machine).read();
  if (!load.memory_total || !load.memory_available)
    return {"memory", Status::warning, "the memory cannot be read", ""};
  const double gib = 1024.0 * 1024 * 1024;
  const double available = load.memory_available->count() / gib;
  const std::string what = fixed(available, 1) + " GiB available of " +
                           fixed(load.memory_total->count() / gib, 1) + " GiB";
  if (available < 1)
    return {"memory", Status::warning, what,
            "large networks (VGG16: 0.5 GiB of weights) may not fit"};
  return {"memory", Status::ok, what, ""};
}

Finding look_at_temperature(const Machine& machine) {
  const LoadReading load = LoadSensor(machine).read();
  if (!load.temperature)
    return {"temperature", Status::missing, "no thermal zone can be read",
            "measurements cannot tell throttling from slow steps; virtual machines have none"};
  const std::string what = fixed(*load.temperature, 1) + " degrees Celsius";
  if (*load.temperature >= 75)
    return {"temperature", Status::warning, what, "cool it: most boards throttle at 80 to 85"};
  return {"temperature", Status::ok, what, ""};
}

Finding look_at_pressure(const Machine& machine) {
  const LoadReading load = LoadSensor(machine).read();
  if (!load.cpu_pressure)
    return {"pressure", Status::missing, "no pressure stall information",
            "boot with psi=1 (kernel 4.20 or newer, CONFIG_PSI)"};
  const std::string what =
      "CPU: tasks waited " + percent(load.cpu_pressure->some) + " of the last 10 s" +
      (load.memory_pressure ? ", memory: " + percent(load.memory_pressure->some) : "");
  const bool pressed =
      load.cpu_pressure->some > 0.1 || (load.memory_pressure && load.memory_pressure->some > 0.01);
  return {"pressure", pressed ? Status::warning : Status::ok, what,
          pressed ? "stop other programs before profiling" : ""};
}

Finding look_at_cpufreq(const Machine& machine) {
  const auto policies = cpufreq_policies(machine);
  if (policies.empty())
    return {"cpufreq", Status::missing, "no cpufreq driver: the clock cannot be set",
            "emulate a board's levels with a CPU share (--emulate-share)"};
  std::string what;
  std::string problem;
  for (const std::string& policy : policies) {
    const auto governor = CpufreqGovernor::open(policy, {}, machine);
    if (!governor) {
      problem = governor.error().message();
      continue;
    }
    const auto& levels = (*governor)->knob().levels;
    if (what.empty())
      what = std::to_string(policies.size()) +
             (policies.size() == 1 ? " policy, " : " policies, the first with ") +
             std::to_string(levels.size()) + " levels from " + levels.front().label + " to " +
             levels.back().label + " (" + (*governor)->method() + ")";
  }
  if (!problem.empty())
    return {"cpufreq", Status::warning, problem, "run as root to set the clock"};
  return {"cpufreq", Status::ok, what, ""};
}

Finding look_at_rapl(const Machine& machine) {
  const auto meter = RaplMeter::open(machine);
  if (meter) {
    std::string what = "energy of";
    for (const std::string& domain : (*meter)->domains()) what += " " + domain;
    return {"rapl", Status::ok, what, ""};
  }
  const core::Error& error = meter.error();
  if (error.code == core::Errc::not_found)
    return {"rapl", Status::missing, "no RAPL energy counter: energies are modelled, not measured",
            "on a bare Intel or AMD machine: modprobe intel_rapl_msr; elsewhere choose a board "
            "description"};
  return {"rapl", Status::warning, error.what + " (" + error.where + ")", error.hint};
}

Finding look_at_devfreq(const Machine& machine) {
  const auto devices = devfreq_devices(machine);
  if (devices.empty())
    return {"devfreq", Status::missing, "no GPU, memory or bus with a clock to set", ""};
  std::string what;
  std::string problem, hint;
  for (const std::string& device : devices) {
    const auto governor = DevfreqGovernor::open(device, {}, machine);
    if (!governor) {
      problem = governor.error().what + " (" + governor.error().where + ")";
      hint = governor.error().hint;
      continue;
    }
    const auto& levels = (*governor)->knob().levels;
    what += (what.empty() ? "" : ", ") + device + " with " + std::to_string(levels.size()) +
            " levels from " + levels.front().label + " to " + levels.back().label;
  }
  if (!problem.empty())
    return {"devfreq", Status::warning, problem, hint};
  return {"devfreq", Status::ok, what, ""};
}

Finding look_at_cpu_kinds(const Machine& machine) {
  const auto kinds = kinds_of_cpu(machine);
  if (kinds.empty())
    return {"affinity", Status::ok, "all CPUs are alike", ""};
  std::string what;
  for (const CpuSet& kind : kinds)
    what += (what.empty() ? "" : ", ") + kind.label + ": " + std::to_string(kind.cpus.size());
  return {"affinity", Status::ok, what, ""};
}

Finding look_at_gpu(const Machine& machine) {
  const auto nvml = Nvml::load(machine.nvml);
  if (!nvml && nvml.error().code == core::Errc::not_found)
    return {"gpu", Status::missing, "no NVIDIA driver", ""};
  if (!nvml)
    return {"gpu", Status::warning, nvml.error().what, nvml.error().hint};
  const auto gpus = (*nvml)->gpus();
  if (!gpus)
    return {"gpu", Status::warning, gpus.error().message(), gpus.error().hint};
  if (gpus->empty())
    return {"gpu", Status::missing, "the NVIDIA driver has no GPU", ""};
  std::string what;
  for (const Gpu& gpu : *gpus)
    what += (what.empty() ? "" : ", ") + gpu.name +
            ((*nvml)->total_energy(gpu.uuid) ? " (counts its energy)"
             : (*nvml)->power(gpu.uuid)      ? " (tells its power)"
                                             : " (without a meter)");
  return {"gpu", Status::ok, what, ""};
}

Finding look_at_hwmon(const Machine& machine) {
  const auto sensors = hwmon_sensors(machine);
  if (sensors.empty()) {
    const auto chips = machine.files->list(machine.sys / "class/hwmon").size();
    if (chips == 0)
      return {"hwmon", Status::missing, "no hardware monitor", ""};
    return {"hwmon", Status::missing,
            std::to_string(chips) + " hardware monitors, none with a power sensor", ""};
  }
  // A server has one for each of its cores.
  constexpr std::size_t shown = 8;
  std::string names;
  for (std::size_t i = 0; i < std::min(sensors.size(), shown); ++i) {
    const auto meter = open_hwmon_meter(sensors[i], {}, machine);
    if (!meter)
      return {"hwmon", Status::warning,
              sensors[i].name + " cannot be read: " + meter.error().message(), ""};
    names += (names.empty() ? "" : ", ") + sensors[i].name;
  }
  if (sensors.size() > shown)
    names += " and " + std::to_string(sensors.size() - shown) + " more";
  return {"hwmon", Status::ok, "power sensors: " + names, ""};
}

Finding look_at_battery(const Machine& machine) {
  Files& files = *machine.files;
  std::string found;
  bool discharging = false;
  for (const std::string& cell : batteries(machine)) {
    const auto status = files.read(machine.sys / "class/power_supply" / cell / "status");
    discharging = discharging || (status && *status == "Discharging");
    const auto meter = open_battery_meter(cell, {}, machine);
    found += (found.empty() ? "" : ", ") + cell + (status ? " (" + *status : " (status unknown") +
             (meter ? ", measures this machine)" : ")");
  }
  if (found.empty())
    return {"battery", Status::missing, "no battery", ""};
  if (discharging)
    return {"battery", Status::warning, found,
            "many machines slow down on battery: plug it in before profiling, unless the battery "
            "is to be the meter"};
  return {"battery", Status::ok, found, ""};
}

Finding look_at_cgroup(const Machine& machine) {
  const auto hierarchy = cpu_hierarchy(machine);
  if (!hierarchy)
    return {"cgroup", Status::missing, hierarchy.error().what, hierarchy.error().hint};
  // The same look as before a first change, without making a group.
  CpuShareOptions options;
  options.levels = {{"all", 1.0}};
  const auto governor = CpuShareGovernor::open(options, machine);
  const std::string version = "version " + std::to_string(hierarchy->version);
  if (!governor)
    return {"cgroup", Status::warning,
            version + ": CPU shares cannot be set: " + governor.error().what +
                (governor.error().where.empty() ? "" : " (" + governor.error().where + ")"),
            governor.error().hint};
  return {"cgroup", Status::ok, version + ": CPU shares can be set", ""};
}

Finding look_at_openmp(const Machine& machine) {
  // libgomp reads these when it is loaded (libgomp manual, "Environment Variables").
  const auto policy = environment_of(machine, "OMP_WAIT_POLICY");
  const auto spin = environment_of(machine, "GOMP_SPINCOUNT");
  std::string lower = policy.value_or("");
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // A count wins over the policy; it may have a suffix ("1k", "infinity"), all of which are long.
  constexpr long soon = 20'000;
  long count = soon + 1;
  if (spin) {
    const auto [end, error] = std::from_chars(spin->data(), spin->data() + spin->size(), count);
    if (error != std::errc() || end != spin->data() + spin->size())
      count = soon + 1;
  }
  if (spin ? count <= soon : lower == "passive")
    return {"openmp", Status::ok, "threads that wait soon give up the CPU", ""};
  return {"openmp", Status::warning,
          "threads that wait spin: with one other busy process a pass may take ten times as long",
          "cleave runs networks with OMP_WAIT_POLICY=passive GOMP_SPINCOUNT=5000; set them for "
          "programs of your own, before they start"};
}

Finding look_at_blas(const Machine& machine) {
  Files& files = *machine.files;
  // Debian keeps alternatives of libblas.so.3 per architecture.
  std::vector<fs::path> folders{machine.lib};
  for (const std::string& name : files.list(machine.lib))
    if (name.find("-linux-gnu") != std::string::npos)
      folders.push_back(machine.lib / name);
  for (const fs::path& folder : folders) {
    const auto library = files.resolve(folder / "libblas.so.3");
    if (!library)
      continue;
    const std::string path = library->string();
    for (const char* fast : {"openblas", "mkl", "blis", "atlas", "armpl"})
      if (path.find(fast) != std::string::npos)
        return {"blas", Status::ok, path, ""};
    return {"blas", Status::warning,
            path + " is the reference BLAS: transformers run about a hundred times slower",
            "apt install libopenblas0-openmp (update-alternatives --config libblas.so.3-...)"};
  }
  return {"blas", Status::missing, "no libblas.so.3 in " + machine.lib.string(),
          "apt install libopenblas0-openmp"};
}

}  // namespace

std::string_view to_string(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::warning:
      return "warning";
    case Status::missing:
      return "missing";
  }
  return "unknown";
}

Diagnosis diagnose(const Machine& machine) {
  Diagnosis diagnosis;
  for (const auto look :
       {look_at_cpu, look_at_load, look_at_memory, look_at_temperature, look_at_pressure,
        look_at_cpufreq, look_at_cpu_kinds, look_at_devfreq, look_at_gpu, look_at_cgroup,
        look_at_rapl, look_at_hwmon, look_at_battery, look_at_openmp, look_at_blas})
    diagnosis.push_back(look(machine));
  return diagnosis;
}

std::string to_json(const Diagnosis& diagnosis) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const Finding& finding : diagnosis)
    list.push_back({{"topic", finding.topic},
                    {"status", std::string(to_string(finding.status))},
                    {"what", finding.what},
                    {"what_to_do", finding.what_to_do}});
  // Names out of firmware need not be UTF-8.
  return list.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace cleave::inline v0::device
