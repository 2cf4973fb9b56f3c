// The levels in between: what a host takes at settings that were not measured.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/host.hpp>
#include <cleave/table/profile.hpp>

#include <vector>

namespace cleave::inline v0::profiler {

// What `work` of CPU time takes on average under a quota, when it begins with an unspent one at a
// moment that is uniformly random within the period P. The quota q is renewed at fixed moments,
// what was left of it is lost, and who has spent it stands still (Linux, Documentation/scheduler/
// sched-bwc.rst). Work up to q runs untouched. Beyond, with k = ceil(w / q) - 1:
//
//   w + (P - q)^2 / (2 P) + (P - q) / P ((P - q)(k - 1) + w - q)
//
// where the second term is the first stand-still, if the work began early enough in a period to
// meet one, and the third are those that follow. Bursts (cpu.cfs_burst_us) and the kernel's slack
// of a clock tick are left out.
core::Seconds throttled(core::Seconds work, const device::ShareSlice& slice);

// The least work that takes so long: throttled() grows with the work, by jumps at multiples of q.
core::Seconds work_within(core::Seconds time, const device::ShareSlice& slice);

// Whether the knob's levels speed up work in proportion: a frequency or a share of a CPU.
bool is_rate(const core::Knob& knob);

// `count` levels of a rate, far apart in 1 / level, which is what times are linear in; the lowest
// and the highest among them. All if there are no more. Ascending.
std::vector<core::LevelIndex> spread_out_levels(const core::Knob& knob, int count);

// Every combination of the knobs' levels, of rates only `per_rate` ones; 0: all.
std::vector<std::vector<core::LevelIndex>> combinations(const std::vector<core::Knob>& knobs,
                                                        int per_rate);

// Adds the settings that are missing in host.settings, which must be a set of combinations() of
// host.knobs, and puts all of them in the order of combinations(knobs, 0).
//
// At equal levels of the knobs that are no rates, a step's mean time is
//
//   a + sum over the rates r of b_r / min(level of r, 1 for a share)
//
// with a and b_r not negative, fitted by least squares of the relative error. Where the share is
// kept by a quota, it is throttled(work) with one amount of work before each step instead. Codec
// costs follow the first formula; power comes from `power`. Spreads and medians keep the ratio to
// the mean that they had. An interval comes from leaving out each measured level that has measured
// ones on both sides, since no prediction lies outside: Student's t times the root of the mean
// square of the relative errors of a whole pass.
//
// Errc::invalid_argument: settings are missing at a rate of which less than three levels were
// measured, so that there is no check.
core::Result<void> predict_levels(table::HostProfile& host, const device::PowerOf& power,
                                  const device::SliceOf& slice);

}  // namespace cleave::inline v0::profiler
