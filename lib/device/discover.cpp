#include <cleave/device/discover.hpp>

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
  if (!options.cpu_share.levels.empty())
    keep(options.cpu_share.name, CpuShareGovernor::open(options.cpu_share, machine));
  return found;
}

Meters discover_meters(Machine machine) {
  Meters found;
  if (auto rapl = RaplMeter::open(std::move(machine)))
    found.meters.push_back(std::move(*rapl));
  else
    found.lacking.push_back({"rapl", rapl.error()});
  return found;
}

}  // namespace cleave::inline v0::device
