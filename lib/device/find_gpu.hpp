// The GPUs of a machine, with the library that knows them.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/nvml.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct FoundGpu {
  std::shared_ptr<Nvml> nvml;
  Gpu gpu;
};

// Errors: those of Nvml::load() and Nvml::gpus().
core::Result<std::vector<FoundGpu>> find_gpus(const Machine& machine);

// The one with NVML's number, as a user writes it after `kind` and a colon. Errors: also
// invalid_argument (no number), not_found (no such GPU).
core::Result<FoundGpu> find_gpu(const std::string& kind, const std::string& number,
                                const Machine& machine);

}  // namespace cleave::inline v0::device
