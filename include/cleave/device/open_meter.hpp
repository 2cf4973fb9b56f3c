// Meters by the names that people write on a command line.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/meter.hpp>
#include <cleave/device/sampling.hpp>

#include <memory>
#include <string>

namespace cleave::inline v0::device {

/// One meter, or several with commas between them, which are summed:
/// - "rapl", "battery:BAT0" ("battery" for the first one), "nvml:0", "hwmon:ina3221/VDD_IN": by the
///   names that discover_meters() gives;
/// - "command:watts:COMMAND", "command:joules:COMMAND": what COMMAND prints (open_command_meter);
///   the rest of the text is the command, commas and all;
/// - "auto": RAPL and all NVIDIA GPUs, which count different parts; without RAPL the first battery,
///   which counts all. What hwmon's sensors count nobody knows but their labels, so they are not
///   among it.
/// Errors: invalid_argument (no such kind of meter), not_found (says which ones there are), and
/// those of the meters.
CLEAVE_EXPORT core::Result<std::unique_ptr<Meter>> open_meter(
    const std::string& names, const SamplingOptions& sampling = {}, const Machine& machine = {},
    core::Boundary boundary = core::Boundary::edge);

}  // namespace cleave::inline v0::device
