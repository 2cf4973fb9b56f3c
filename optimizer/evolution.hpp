// pagmo2's multi-objective algorithms over a Space, one generation at a time.
#pragma once

#include "optimizer/archive.hpp"
#include "optimizer/random.hpp"

#include <cleave/optimizer/search.hpp>

#include <functional>

namespace cleave::inline v0::optimizer {

/// Spends the archive's budget. `proceed` is asked after each batch; false ends the search. Half
/// the budget goes to the first context, the rest is shared by the others, each going on from the
/// best that all before it found.
///
/// A generation is an evolve(1) over whole numbers. Its offspring are often known already; what
/// they leave of the generation's share is spent on unseen neighbours of the front, so that it
/// never stalls, and the next population is picked from all of them. With
/// SearchOptions::screened, see screened_stage() instead.
void evolution(const Space& space, const SearchOptions& options, Archive& archive, Random& random,
               const std::function<bool()>& proceed);

}  // namespace cleave::inline v0::optimizer
