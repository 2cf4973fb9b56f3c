// From everything that was evaluated to the rows worth keeping.
#pragma once

#include <cleave/optimizer/search.hpp>

#include <cstddef>
#include <functional>
#include <vector>

namespace cleave::inline v0::optimizer {

struct Kept {
  std::size_t entry = 0;  ///< of the archive
  bool on_front = false;  ///< of the first context
};

struct KeepOptions {
  double margin = 0.05;
  std::size_t max_rows = 1000;
  /// Which points run nothing in the cloud, and which nothing on the edge. Empty: none does.
  std::function<bool(const Point&)> all_edge = {}, all_cloud = {};
};

/// The first context's front, then the rest by their distance to the nearest front (of any context,
/// or of the all-edge entries among themselves), as far as margin and bound allow. The distance to
/// a front is ln of the factor by which latency and energy must both shrink for no front member to
/// be better in both; 0 or less on the front.
///
/// Kept whatever their distance: the fastest and the most frugal of all-edge and of all-cloud.
std::vector<Kept> keep(const Space& space, const std::vector<Evaluated>& archive,
                       const KeepOptions& options);

}  // namespace cleave::inline v0::optimizer
