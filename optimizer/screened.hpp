// A search that spends its evaluations on what a surrogate finds promising.
#pragma once

#include "optimizer/random.hpp"
#include "optimizer/stage.hpp"

#include <cleave/optimizer/search.hpp>

#include <functional>

namespace cleave::inline v0::optimizer {

/// How many points of seeded_start() a screened search begins with.
std::size_t screened_start(std::uint64_t budget);

/// Spends the stage's budget in small batches. Before each, an ObjectiveModel of every objective is
/// fitted to what is known, and SearchOptions::algorithm breeds on it, at no cost, from the best
/// known points. What it looks at there, the one-knob neighbours of the front and a few points at
/// random are ranked by the hypervolume that they are expected to add (Emmerich, Giannakoglou and
/// Naujoks 2006, the objectives taken as independent). The best are evaluated; of each four, one is
/// the best of the neighbours, so that a surrogate that is wrong about a cliff does not end the
/// search there.
void screened_stage(Stage& stage, const SearchOptions& options, std::size_t size, Random& random,
                    const std::function<bool()>& proceed);

/// The hypervolume that a point with independent normal objectives is expected to add to a front,
/// up to the reference point. For two objectives by a Gauss-Hermite rule of five nodes each; for
/// more, that of the point half a deviation better in each. `front` holds no dominated points.
double expected_improvement(const std::vector<Objectives>& front, const Objectives& reference,
                            const Objectives& means, const Objectives& deviations);

}  // namespace cleave::inline v0::optimizer
