// What beginning and ending at a cut costs, beyond the steps.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/table/profile.hpp>

#include <span>
#include <stop_token>

namespace cleave::inline v0::profiler {

struct Crossing {
  table::CrossingCost leaving, entering;  // at the setting at hand
};

// Heads and tails of a dozen cuts, of as many bytes as there are, five times each, or as often as
// takes no longer than `limit` but at least once: the time that their steps do not account for,
// and a line through its medians over the bytes. Nothing for a network without a cut in between.
// Errors: the model's; cancelled.
core::Result<Crossing> measure_crossing(const core::Executable& model, const core::Values& example,
                                        std::span<const table::CutProfile> cuts,
                                        const core::Clock& clock, core::Seconds limit,
                                        const std::stop_token& stop);

// The line with no negative coefficient that lies in the middle of the points: the median of the
// slopes between them (P. Sen 1968), and then of what is left.
table::CrossingCost line_through(const std::vector<double>& bytes,
                                 const std::vector<double>& seconds);

}  // namespace cleave::inline v0::profiler
