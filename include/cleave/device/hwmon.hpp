// Power and energy sensors of the kernel's hardware monitors: INA219/226/3221 and their like on
// boards, PMBus supplies, GPUs, AMD's core energy.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/sampling.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// One channel of one chip (Linux Documentation/hwmon/sysfs-interface.rst). Which part of the
/// machine it feeds its label says, or nobody does: two sensors may measure the same watts, as a
/// board's input and the rails behind it, so they are not summed unasked.
struct HwmonSensor {
  enum class Kind : std::uint8_t {
    energy,         ///< energyN_input, a counter in microjoules
    power,          ///< powerN_input, microwatts
    power_average,  ///< powerN_average, microwatts over powerN_average_interval milliseconds
    product,        ///< inN_input (mV) times currN_input (mA), of a chip that computes no power
  };
  std::string name;    ///< "hwmon:ina3221/VDD_IN"; with "@hwmon3" where two would be alike
  std::string chip;    ///< "ina3221"
  std::string folder;  ///< "hwmon3": may be another one after the next boot
  Kind kind = Kind::power;
  int channel = 1;    ///< N
  std::string label;  ///< what the firmware calls it; may be empty
};

/// The machine's, sorted by folder and channel; the best kind of each channel. Channels that are
/// switched off are left out.
CLEAVE_EXPORT std::vector<HwmonSensor> hwmon_sensors(const Machine& machine = {});

/// A meter of the sensor: a CounterMeter for a counter, a SamplingMeter for a power. The chip's own
/// averaging (update_interval, powerN_average_interval) is part of its resolution. Errors:
/// not_found, permission_denied, corrupt, io.
CLEAVE_EXPORT core::Result<std::unique_ptr<Meter>> open_hwmon_meter(
    const HwmonSensor& sensor, SamplingOptions options = {}, Machine machine = {},
    core::Boundary boundary = core::Boundary::edge);

}  // namespace cleave::inline v0::device
