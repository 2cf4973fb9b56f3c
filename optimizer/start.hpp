// The points that a search starts from, and those next to a point.
#pragma once

#include "optimizer/random.hpp"

#include <cleave/optimizer/search.hpp>

#include <cstddef>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Canonical, without repetition, at most `limit`: the suggested points (up to a quarter of the
/// limit), the corners of the numbers crossed with every value of the words (up to half;
/// if there are more, those first that are feasible as they are, and that are far apart), and
/// points of a Halton sequence up to `total`.
std::vector<Point> seeded_start(const Space& space, std::size_t total, std::size_t limit,
                                Random& random);

/// One variable changed: numbers by one level, words to any other. Canonical, without the point
/// itself and without repetition.
std::vector<Point> neighbours(const Space& space, const Point& point);

/// A random point, canonical; uniform before that.
Point random_point(const Space& space, Random& random);

}  // namespace cleave::inline v0::optimizer
