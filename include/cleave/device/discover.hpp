// Which knobs and meters this machine offers, and why not the others.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/affinity.hpp>
#include <cleave/device/cpu_share.hpp>
#include <cleave/device/cpufreq.hpp>
#include <cleave/device/devfreq.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>
#include <cleave/device/meter.hpp>
#include <cleave/device/nvml.hpp>
#include <cleave/device/sampling.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// A capability that is not there: data, not an error.
struct Lacking {
  std::string name;  ///< "cpu_frequency", "devfreq", "gpu_clock", "rapl", "hwmon", "nvml", ...
  core::Error why;
};

struct Governors {
  std::vector<std::unique_ptr<Governor>> governors;
  std::vector<Lacking> lacking;
};
struct Meters {
  std::vector<std::unique_ptr<Meter>> meters;
  std::vector<Lacking> lacking;
};

struct DiscoverOptions {
  CpuShareOptions cpu_share;  ///< with no levels no share governor is wanted
  CpufreqOptions cpufreq;
  DevfreqOptions devfreq;
  AffinityOptions affinity;
  GpuGovernorOptions gpu;
};

/// Opens every governor that can be opened; sets nothing.
CLEAVE_EXPORT Governors discover_governors(const DiscoverOptions& options, Machine machine = {});
/// Opens every real meter that can be read. Several may count the same watts (a battery and the
/// processor that it feeds); a meter of the user's own (open_command_meter) nobody can discover.
CLEAVE_EXPORT Meters discover_meters(Machine machine = {}, const SamplingOptions& sampling = {});

}  // namespace cleave::inline v0::device
