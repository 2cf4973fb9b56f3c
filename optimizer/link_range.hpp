// Which links of a range a table must be made for, so that it serves all of them.
#pragma once

#include "optimizer/sweep.hpp"

#include <cleave/optimizer/optimize.hpp>

#include <vector>

namespace cleave::inline v0::optimizer {

/// Nine links (fewer where the range is narrow) spread by logarithms over the range: what a search
/// has to look for.
std::vector<table::LinkState> outline(const LinkRange& range, const table::LinkState& reference);

/// Links of the range such that what is on the front of any of them comes within the margin of what
/// is on the front of any link in the range. Between two links a latency changes by no more than
/// the bandwidth and the round trip do, which tells how fine is fine enough; mostly much less will
/// do: the range is divided like a quadtree, and a part is fine enough once the front in its middle
/// comes, at half the margin, out of the rows of the links taken so far. Beyond some hundred links
/// no more are taken.
std::vector<table::LinkState> covering_links(ProfileSpace& space, const Looked& looked,
                                             const LinkRange& range, double margin,
                                             unsigned threads);

}  // namespace cleave::inline v0::optimizer
