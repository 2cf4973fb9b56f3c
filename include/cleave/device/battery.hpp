// The energy that a machine takes from its battery.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/sampling.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// The batteries that feed this machine ("BAT0", ...), not those of its mice and keyboards.
CLEAVE_EXPORT std::vector<std::string> batteries(const Machine& machine = {});

/// "battery:BAT0", by Linux Documentation/ABI/testing/sysfs-class-power: power_now, else
/// current_now times voltage_now, sampled once a second unless an option says otherwise, since fuel
/// gauges are no quicker; else what energy_now, or charge_now at voltage_now, has lost. It counts
/// the whole machine, and only while the battery is discharging. Errors: not_found, unsupported (no
/// figures), unavailable (not discharging; from every read, too), permission_denied, corrupt.
CLEAVE_EXPORT core::Result<std::unique_ptr<Meter>> open_battery_meter(
    const std::string& battery, SamplingOptions options = {}, Machine machine = {},
    core::Boundary boundary = core::Boundary::edge);

}  // namespace cleave::inline v0::device
