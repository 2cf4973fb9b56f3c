// A load for measuring what busy cores draw.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <functional>
#include <stop_token>

namespace cleave::inline v0::device {

/// Keeps `cores` cores busy for a share of `time`, returns when that is over, and gives the share
/// that they were busy. 0 cores: waits. Gives Errc::cancelled early if it is told to stop.
using Load = std::function<core::Result<double>(int cores, double share, core::Seconds time)>;

/// Threads of this process that multiply and add floats in their first-level caches, in slices of
/// 10 ms; a thread's share is its CPU time over the time. Whoever else runs on the machine is in
/// the power and not in the share: calibrate on an idle machine.
CLEAVE_EXPORT Load busy_load(std::stop_token stop = {});

}  // namespace cleave::inline v0::device
