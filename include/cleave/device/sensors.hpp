// How loaded and how hot this machine is.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/files.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace cleave::inline v0::device {

/// Shares of the last 10 s in which some or all tasks waited (Linux
/// Documentation/accounting/psi.rst).
struct Pressure {
  double some = 0, full = 0;  ///< 0..1
};

/// What is not readable on this machine is absent.
struct LoadReading {
  unsigned cpus = 0;  ///< that are online; 0 where that is not readable
  std::optional<double>
      utilisation;              ///< 0..1 of all CPUs, between the last two reads; without steal
  std::optional<double> steal;  ///< 0..1, time the hypervisor gave to others
  std::optional<Pressure> cpu_pressure, memory_pressure;
  std::optional<core::Bytes> memory_total, memory_available;
  std::optional<double> temperature;  ///< degrees Celsius, the hottest CPU zone
};

/// Reads procfs and sysfs; the first read has no utilisation, which is a difference (/proc/stat,
/// proc(5)). Not thread-safe.
class CLEAVE_EXPORT LoadSensor {
 public:
  explicit LoadSensor(Machine machine = {});
  [[nodiscard]] LoadReading read();

 private:
  Machine machine_;
  std::uint64_t busy_ = 0, stolen_ = 0, total_ = 0;
  bool primed_ = false;
};

}  // namespace cleave::inline v0::device
