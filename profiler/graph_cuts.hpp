// From a profile to the cuts worth offering: those that no order of the steps shows are found on
// the network's graph, and those that nothing prefers are left out.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/result.hpp>
#include <cleave/profiler/cut_search.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::profiler {

/// What may differ from the profile when a cut is chosen.
struct CutRange {
  double bandwidth = 8;  ///< the link is up to so many times slower or faster than measured
  double margin = 0.05;  ///< of latency and energy, by which a cut may be worse than another kept
  double gain = 0.002;   ///< a cut across branches must beat every prefix by this share
};

/// The costs of every pair of settings (of more than eight on the edge or four in the cloud, the
/// fastest, the slowest and some between), for weights from latency alone to energy alone at each
/// boundary, over the range of bandwidths and of what codecs leave of a byte.
std::vector<CutCosts> costs_of(const table::Profile& profile, const CutRange& range);

/// The heads that are cheapest somewhere in the range and are no prefix of the sequence, where they
/// beat each of the profile's cuts by range.gain.
core::Result<OptimalCuts> cuts_across_branches(const core::StepGraph& graph,
                                               const table::Profile& profile, const CutRange& range,
                                               std::stop_token stop);

/// Which of the profile's cuts to keep, one flag each: the first and the last; at each pair of
/// settings, bandwidth within the range, floor on accuracy (in steps of 0.005) and weight of
/// latency against energy the cheapest; and as many more that each cut left out has, at each of
/// these settings, bandwidths and floors, one among the kept that takes at most (1 + margin) times
/// its latency and its energy.
std::vector<bool> cuts_to_keep(const table::Profile& profile, const CutRange& range);

}  // namespace cleave::inline v0::profiler
