#include <cleave/core/provenance.hpp>

#include <algorithm>

namespace cleave::inline v0::core {

std::vector<std::string> differences(const Provenance& made, const Provenance& here) {
  std::vector<std::string> texts;
  const auto compare = [&](const std::string& what, const std::string& then,
                           const std::string& now) {
    if (!then.empty() && !now.empty() && then != now)
      texts.push_back(what + " " + then + ", here " + now);
  };
  compare("machine", made.machine, here.machine);
  compare("processor", made.processor, here.processor);
  if (made.cpus != 0 && here.cpus != 0)
    compare("CPUs", std::to_string(made.cpus), std::to_string(here.cpus));
  compare("device", made.device, here.device);
  for (const Library& library : made.libraries) {
    const auto same =
        std::find_if(here.libraries.begin(), here.libraries.end(),
                     [&](const Library& other) { return other.name == library.name; });
    if (same != here.libraries.end())
      compare(library.name, library.version, same->version);
  }
  return texts;
}

std::string to_string(const Provenance& provenance) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (!provenance.machine.empty())
    add(provenance.machine);
  if (!provenance.processor.empty())
    add(provenance.processor);
  if (provenance.cpus != 0)
    add(std::to_string(provenance.cpus) + (provenance.cpus == 1 ? " CPU" : " CPUs"));
  if (!provenance.device.empty())
    add("device " + provenance.device);
  for (const Library& library : provenance.libraries) add(library.name + " " + library.version);
  return text.empty() ? "unknown" : text;
}

}  // namespace cleave::inline v0::core
