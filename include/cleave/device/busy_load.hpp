// A load for measuring what busy cores draw.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <functional>

namespace cleave::inline v0::device {

/// Keeps `cores` cores busy for a share of the time while `meanwhile` runs on the calling thread,
/// and gives the share that they were busy. 0 cores: runs it alone. Errors: those of `meanwhile`.
using Load = std::function<core::Result<double>(
    int cores, double share, const std::function<core::Result<void>()>& meanwhile)>;

/// Threads of this process that multiply and add floats in their first-level caches, in slices of
/// 10 ms; a thread's share is its CPU time over the time. Whoever else runs on the machine is in
/// the power and not in the share: calibrate on an idle machine.
CLEAVE_EXPORT Load busy_load();

}  // namespace cleave::inline v0::device
