// One context's share of a search: what it knows, and what pagmo sees of it.
#pragma once

#include "optimizer/archive.hpp"
#include "optimizer/random.hpp"

#include <cleave/optimizer/search.hpp>

#include <pagmo/types.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleave::inline v0::optimizer {

/// What one context's search works on; pagmo's problems only point to it, as pagmo copies problems.
struct Stage {
  const Space& space;
  Archive& archive;
  std::size_t context;
  std::vector<std::size_t> active;  ///< variables with more than one level
  std::uint64_t until;              ///< the archive's size that ends this stage

  /// From pagmo's decision vector, rounded, to a canonical point; and back.
  [[nodiscard]] Point decode(const double* x) const;
  [[nodiscard]] pagmo::vector_double encode(const Point& point) const;
  /// An entry's objectives; figures that are not finite are worse than anything real.
  [[nodiscard]] pagmo::vector_double fitness(std::size_t entry) const;
  /// What the budget no longer allowed has no figures, and loses against all that do.
  [[nodiscard]] pagmo::vector_double hopeless_fitness() const;
  [[nodiscard]] std::uint64_t left() const;
  /// Evaluates at most `limit` new points; gives how many.
  std::size_t evaluate(std::vector<Point> points, std::uint64_t limit);
  /// Entries that no other dominates.
  [[nodiscard]] std::vector<std::size_t> front() const;
};

/// The best `size` of some entries by rank and crowding, or all of them if they are fewer.
std::vector<std::size_t> select(const Stage& stage, const std::vector<std::size_t>& entries,
                                std::size_t size);
/// Of all entries, front by front, until there are enough.
std::vector<std::size_t> best_entries(const Stage& stage, std::size_t size);

}  // namespace cleave::inline v0::optimizer
