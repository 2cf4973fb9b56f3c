#include "lib/device/parse.hpp"
#include "lib/device/processor.hpp"

#include <cleave/core/version.hpp>
#include <cleave/device/provenance.hpp>

namespace cleave::inline v0::device {

int online_cpus(const Machine& machine) {
  int cpus = 0;
  if (const auto stat = machine.files->read(machine.proc / "stat"))
    for (std::string_view line : lines(*stat))
      if (line.starts_with("cpu") && line.size() > 3 && line[3] >= '0' && line[3] <= '9')
        ++cpus;
  return cpus;
}

std::string processor_name(const Machine& machine) {
  std::string name;
  if (const auto info = machine.files->read(machine.proc / "cpuinfo"))
    for (std::string_view line : lines(*info))
      for (std::string_view key : {"model name", "Model", "Hardware"})
        if (name.empty() && line.starts_with(key))
          if (const auto colon = line.find(": "); colon != std::string_view::npos)
            name = line.substr(colon + 2);
  // Boards name themselves in the device tree (Devicetree Specification, root node's "model").
  if (name.empty())
    if (const auto tree = machine.files->read(machine.proc / "device-tree/model"))
      name = tree->substr(0, tree->find('\0'));
  return name;
}

core::Provenance this_machine(const Machine& machine) {
  core::Provenance here;
  // Documentation/admin-guide/sysctl/kernel.rst, hostname.
  if (const auto name = machine.files->read(machine.proc / "sys/kernel/hostname"))
    here.machine = *name;
  here.processor = processor_name(machine);
  here.cpus = static_cast<std::uint32_t>(online_cpus(machine));
  here.libraries = {{"cleave", std::string(core::version())}};
  return here;
}

}  // namespace cleave::inline v0::device
