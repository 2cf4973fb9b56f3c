// The processor as the kernel describes it.
#pragma once

#include <cleave/device/files.hpp>

#include <string>

namespace cleave::inline v0::device {

// By /proc/stat; 0 if that cannot be read.
int online_cpus(const Machine& machine);

// By /proc/cpuinfo, or the board's name by the device tree; "" where neither tells.
std::string processor_name(const Machine& machine);

}  // namespace cleave::inline v0::device
