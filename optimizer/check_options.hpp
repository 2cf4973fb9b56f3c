// What OptimizeOptions and ObservationOptions have in common, checked.
#pragma once

#include <cleave/core/result.hpp>

namespace cleave::inline v0::optimizer {

// Errc::invalid_argument, which names the option.
template <class Options>
core::Result<void> check_search(const Options& options) {
  const auto bad = [](const char* what, const char* where) -> core::Result<void> {
    return core::fail(core::Errc::invalid_argument, what, where);
  };
  if (options.evaluations == 0 && !(options.budget_share > 0 && options.budget_share <= 1))
    return bad("the share of the space to look at must be above 0 and at most 1", "budget");
  if (!(options.accuracy_floor >= 0 && options.accuracy_floor <= 1))
    return bad("the accuracy floor must be 0 to 1", "accuracy floor");
  if (!(options.accuracy_step > 0 && options.accuracy_step <= 1))
    return bad("the step of accuracy must be above 0 and at most 1", "accuracy step");
  if (!(options.margin >= 0 && options.margin <= 10))
    return bad("the margin must be 0 to 10", "margin");
  if (options.max_rows < 8)
    return bad("a table needs room for 8 rows at least", "max rows");
  return {};
}

}  // namespace cleave::inline v0::optimizer
