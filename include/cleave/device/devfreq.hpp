// Clocks of the GPU, the memory and buses of a system on a chip, through the kernel's devfreq
// class.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct DevfreqOptions {
  core::HostIndex host = core::edge_host;
  std::filesystem::path state_dir;  ///< for the journal; empty: default_state_dir()
};

/// One device of /sys/class/devfreq (Linux Documentation/ABI/testing/sysfs-class-devfreq), as on a
/// Jetson ("17000000.gpu") and other boards ("dmc", "ff9a0000.gpu"). min_freq and max_freq are both
/// put on the level; where they cannot be written, the userspace governor and its set_freq are
/// used. Verified in those files, to 1 kHz, the kernel's own unit for limits: the clock itself may
/// still be lower, for heat. restore() puts back what was found. Not thread-safe.
class CLEAVE_EXPORT DevfreqGovernor final : public ForwardingGovernor {
 public:
  /// The knob is "devfreq.DEVICE", in Hz, with a level for each of available_frequencies. Errors:
  /// not_found, unsupported (no frequencies, nothing to set them with), permission_denied, corrupt.
  /// apply() also gives mismatch: the device does not offer the level any more.
  static core::Result<std::unique_ptr<DevfreqGovernor>> open(const std::string& device,
                                                             DevfreqOptions options = {},
                                                             Machine machine = {});
  /// "userspace" or "clamp".
  [[nodiscard]] const std::string& method() const { return method_; }

 private:
  DevfreqGovernor(std::unique_ptr<Governor> inner, std::string method)
      : ForwardingGovernor(std::move(inner)), method_(std::move(method)) {}
  std::string method_;
};

/// The devices of this machine, sorted; empty without devfreq.
CLEAVE_EXPORT std::vector<std::string> devfreq_devices(const Machine& machine = {});

}  // namespace cleave::inline v0::device
