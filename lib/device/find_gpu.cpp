#include "lib/device/find_gpu.hpp"

#include "lib/device/parse.hpp"

namespace cleave::inline v0::device {

core::Result<std::vector<FoundGpu>> find_gpus(const Machine& machine) {
  const auto nvml = Nvml::load(machine.nvml);
  if (!nvml)
    return core::fail(nvml);
  const auto gpus = (*nvml)->gpus();
  if (!gpus)
    return core::fail(gpus);
  std::vector<FoundGpu> found;
  for (const Gpu& gpu : *gpus) found.push_back({*nvml, gpu});
  return found;
}

core::Result<FoundGpu> find_gpu(const std::string& kind, const std::string& number,
                                const Machine& machine) {
  const auto index = parse_number<unsigned>(number);
  if (!index)
    return core::fail(core::Errc::invalid_argument, "not the number of a GPU: " + number, kind);
  auto gpus = find_gpus(machine);
  if (!gpus)
    return core::fail(gpus);
  if (*index >= gpus->size())
    return core::fail(core::Errc::not_found,
                      "there is no such GPU; there are " + std::to_string(gpus->size()),
                      kind + ":" + number);
  return std::move((*gpus)[*index]);
}

}  // namespace cleave::inline v0::device
