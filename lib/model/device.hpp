// Plans on other devices than the CPU. Whatever the device, a network is lowered, numbered and
// analysed on the CPU first, so its fingerprint and cuts are the same everywhere.
#pragma once

#include "lib/model/plan.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <string>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::model {

/// The device of this name: "cpu", "cuda" (the first), "cuda:1".
/// Errc::invalid_argument: no such kind of device; unsupported: this libtorch was built without it,
/// or it is not there.
CLEAVE_EXPORT core::Result<c10::Device> find_device(const std::string& name);

/// The plan with its weights, and what it makes by itself, on the device: constants are moved (each
/// storage once), constants that name a device and factory functions that name none get this one,
/// and moves to the CPU inside the network do nothing. Steps, slots and hashes stay what they are.
/// Errc::internal if they do not; unsupported with libtorch's message.
CLEAVE_EXPORT core::Result<Plan> on_device(Plan plan, c10::Device device);

/// Until its end the calling thread's device, where it is not the CPU.
class DeviceScope {
 public:
  explicit DeviceScope(c10::Device device) {
    if (!device.is_cpu())
      here_.reset_device(device);
  }

 private:
  c10::OptionalDeviceGuard here_;
};

/// Waits until the device has done what this thread gave it; nothing for the CPU.
CLEAVE_EXPORT void synchronise(c10::Device device);

/// Copies values to a device. Strides stay, and tensors that share a storage share one afterwards;
/// of a storage no more than what the tensors of one call reach is copied.
class CLEAVE_EXPORT Mover {
 public:
  explicit Mover(c10::Device to) : to_(to) {}
  void move(std::vector<c10::IValue>& values);

 private:
  struct Region {
    c10::Storage source, moved;
    std::size_t begin = 0, end = 0;
  };
  void look_at(const c10::IValue& value);
  at::Tensor moved(const at::Tensor& tensor);
  c10::IValue moved(const c10::IValue& value);

  c10::Device to_;
  std::unordered_map<const void*, Region> regions_;
};

}  // namespace cleave::inline v0::model
