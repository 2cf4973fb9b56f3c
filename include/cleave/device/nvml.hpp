// NVIDIA GPUs through NVML, the driver's management library, which is loaded at run time: a machine
// without it has no such knobs and meters, and needs nothing installed.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>
#include <cleave/device/sampling.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::device {

/// What cleave sets on a GPU.
struct GpuSetting {
  enum class Kind : std::uint8_t {
    power_limit,    ///< milliwatts
    locked_clocks,  ///< MHz; 0: not locked
  };
  std::string library;  ///< "libnvidia-ml.so.1"
  std::string gpu;      ///< its UUID
  Kind kind = Kind::power_limit;
  unsigned value = 0;
};
/// "power_limit", "locked_clocks"
CLEAVE_EXPORT std::string_view to_string(GpuSetting::Kind kind);
CLEAVE_EXPORT std::optional<GpuSetting::Kind> gpu_setting_of(std::string_view name);

struct Gpu {
  unsigned index = 0;  ///< NVML's, as nvidia-smi counts; may change at the next boot
  std::string uuid, name;
};

/// The functions of NVML that cleave uses (NVIDIA, "NVML API Reference Guide"). A GPU is named by
/// its UUID. Errors of all: not_found (no such GPU), unsupported (not something this GPU or driver
/// does), permission_denied, invalid_argument, unavailable (the GPU is lost, the driver is not
/// loaded), io. Thread-safe, as NVML is.
class CLEAVE_EXPORT Nvml {
 public:
  /// dlopen. Errors: not_found (no such library), unsupported (a function is missing), unavailable
  /// (it does not start: no driver).
  static core::Result<std::shared_ptr<Nvml>> load(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  [[nodiscard]] const std::string& library() const;
  [[nodiscard]] core::Result<std::vector<Gpu>> gpus() const;
  /// Since the driver was loaded; Volta and newer.
  [[nodiscard]] core::Result<core::Joules> total_energy(const std::string& gpu) const;
  [[nodiscard]] core::Result<core::Watts> power(const std::string& gpu) const;

  struct PowerLimits {
    unsigned least = 0, most = 0, now = 0;  ///< milliwatts
  };
  [[nodiscard]] core::Result<PowerLimits> power_limits(const std::string& gpu) const;
  [[nodiscard]] core::Result<void> set_power_limit(const std::string& gpu,
                                                   unsigned milliwatts) const;

  /// The graphics clocks that the GPU takes at its highest memory clock, MHz, ascending.
  [[nodiscard]] core::Result<std::vector<unsigned>> clocks(const std::string& gpu) const;
  [[nodiscard]] core::Result<unsigned> clock(const std::string& gpu) const;  ///< now, MHz
  /// Holds the graphics clock at so many MHz; 0: releases it.
  [[nodiscard]] core::Result<void> lock_clocks(const std::string& gpu, unsigned mhz) const;

 private:
  struct Functions;
  explicit Nvml(std::unique_ptr<Functions> functions);
  std::unique_ptr<Functions> functions_;
};

/// Loads the library and sets what the setting says. A GPU that is not there any more counts as
/// done. For the journal.
CLEAVE_EXPORT core::Result<void> put_back(const GpuSetting& setting);

/// "nvml:0": NVML's counter of energy, or, where the GPU has none, its power, sampled. The whole
/// board with its memory. Counter and power are refreshed about every 100 ms (Yang, Adamek and
/// Armour, "Part-time power measurements: nvidia-smi's lack of attention", 2023), which the
/// resolution says.
CLEAVE_EXPORT core::Result<std::unique_ptr<Meter>> open_nvml_meter(
    std::shared_ptr<Nvml> nvml, const Gpu& gpu, SamplingOptions options = {},
    core::Boundary boundary = core::Boundary::edge);

struct GpuGovernorOptions {
  core::HostIndex host = core::edge_host;
  /// Levels: at most this many of the GPU's clocks, and so many steps of its power limit; evenly
  /// spaced, at least 2.
  int steps = 6;
  /// A clock takes a while to change: it is looked at so often, with `wait` between the looks.
  int looks = 100;
  std::function<void()> wait;       ///< sleeps 10 ms if empty
  std::filesystem::path state_dir;  ///< for the journal; empty: default_state_dir()
};

/// The knob "gpu_clock" ("gpu_clock.1" for GPU 1), in Hz: the graphics clock, locked. Verified by
/// the clock that the GPU then runs at, which heat and power may keep lower: that is Errc::refused.
/// NVML does not tell whether a clock was locked before, so restore() releases it. Not thread-safe.
CLEAVE_EXPORT core::Result<std::unique_ptr<Governor>> open_gpu_clock_governor(
    std::shared_ptr<Nvml> nvml, const Gpu& gpu, GpuGovernorOptions options = {});

/// The knob "gpu_power" ("gpu_power.1"), in W: the power limit, within the GPU's bounds. Verified
/// by the limit itself; restore() puts back the one found. Not thread-safe.
CLEAVE_EXPORT core::Result<std::unique_ptr<Governor>> open_gpu_power_governor(
    std::shared_ptr<Nvml> nvml, const Gpu& gpu, GpuGovernorOptions options = {});

}  // namespace cleave::inline v0::device
