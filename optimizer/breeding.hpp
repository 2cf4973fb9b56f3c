// pagmo2's multi-objective algorithms over the points of a stage.
#pragma once

#include "optimizer/random.hpp"
#include "optimizer/stage.hpp"

#include <cleave/optimizer/search.hpp>

#include <pagmo/algorithm.hpp>
#include <pagmo/problem.hpp>
#include <pagmo/types.hpp>

#include <cstddef>
#include <functional>
#include <vector>

namespace cleave::inline v0::optimizer {

/// The objectives of some canonical points, one point after the other.
using Fitness = std::function<pagmo::vector_double(const std::vector<Point>&)>;

/// A stage as a problem of pagmo's: decision vectors are the active variables, decoded before
/// `fitness` sees them. What the algorithm wants them to be: whole numbers, or reals that are
/// rounded, each level as wide as the others. The stage must outlive it.
pagmo::problem problem_of(const Stage& stage, Algorithm algorithm, Fitness fitness);

/// One of pagmo's multi-objective algorithms for a population of that size. Preconditions:
/// evolves(algorithm), size at least 8 and a multiple of 4.
pagmo::algorithm make_algorithm(Algorithm algorithm, unsigned generations, std::size_t size,
                                std::size_t variables, Random& random);

/// All points whose fitness the algorithm asks for while it evolves the best known points for some
/// generations, in that order, with repetition. Nothing of the stage is evaluated.
std::vector<Point> breed(const Stage& stage, Algorithm algorithm, unsigned generations,
                         std::size_t size, Random& random, const Fitness& fitness);

}  // namespace cleave::inline v0::optimizer
