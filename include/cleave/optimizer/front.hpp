// Pareto fronts and how much of the objective space they cover. All objectives are minimised.
#pragma once

#include <cleave/core/export.hpp>

#include <cstddef>
#include <span>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Indices of the points that no other point dominates, ascending. Of equal points the first only.
/// Points with a value that is not finite are never on the front. O(n log n) for two objectives,
/// O(n f) for more, with f the front's size.
CLEAVE_EXPORT std::vector<std::size_t> pareto_front(std::span<const std::vector<double>> points);

/// The volume that the points dominate, up to the reference point, as a share of the box between
/// `ideal` and `reference` (0..1). Points beyond the box count as far as the box goes. An objective
/// in which ideal and reference are equal is left out; if all are, any point covers 1. No points
/// cover 0. Every list has the same length.
CLEAVE_EXPORT double hypervolume(std::span<const std::vector<double>> points,
                                 const std::vector<double>& ideal,
                                 const std::vector<double>& reference);

}  // namespace cleave::inline v0::optimizer
