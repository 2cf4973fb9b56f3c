// From a profile of one device to a similar one: a few settings are measured there, the others
// follow from how the two devices compare.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/host.hpp>
#include <cleave/table/profile.hpp>

#include <string>
#include <vector>

namespace cleave::inline v0::profiler {

/// `count` combinations of the knobs' levels, far apart: first the highest levels, then each time
/// the one that is farthest from those before, with frequencies and shares as 1 / level, which
/// times are about linear in, and other levels by their order, each from 0 to 1. All if there are
/// no more. In the order of all combinations.
CLEAVE_EXPORT std::vector<std::vector<core::LevelIndex>> probe_settings(
    const std::vector<core::Knob>& knobs, int count);

/// The edge's half of a profile with its codecs' costs in the order of `codecs`. Errc::mismatch: it
/// has not all of them.
CLEAVE_EXPORT core::Result<table::HostProfile> edge_half_for(
    const table::Profile& source, const std::vector<std::string>& codecs);

/// Adds the settings that are missing in target.settings, which must be measured at two settings at
/// least, and puts all of them in the order of the knobs' combinations. Both halves are of one
/// network and have the same knobs; levels that the source lacks are predicted there first, as
/// HostOptions::measure_levels does.
///
/// A whole pass at levels L takes S(L) exp(m + sum over the knobs of s_k x_k(L)), where S is the
/// source's time and x_k the logarithm of the level, or for words one per word. m and s are fitted
/// to the logarithms of the probes' ratios by ridge regression (A. E. Hoerl and R. W. Kennard,
/// Ridge Regression, Technometrics 12, 1970) with the penalty that predicts left-out probes best
/// (D. M. Allen, The Relationship between Variable Selection and Data Augmentation, Technometrics
/// 16, 1974); an infinite one leaves the source's shape alone. A step's share of the pass changes
/// by a factor of its own, whose logarithm is the mean over the probes shrunk towards 0 by its
/// noise, empirical Bayes with the variance between steps by the method of moments (B. Efron and C.
/// Morris, Data Analysis Using Stein's Estimator and its Generalizations, JASA 70, 1975; R.
/// DerSimonian and N. Laird, Meta-analysis in clinical trials, Controlled Clinical Trials 7, 1986).
/// A codec's costs change by the probes' mean factor. Medians and spreads keep the ratio to the
/// mean that the probes have; power comes from `power`.
///
/// What this costs is measured: each probe is predicted from the others, with all of the above
/// fitted anew. HostProfile::fit holds the errors of whole passes; the interval is Student's t
/// times the root of the mean square of the relative errors of the heads that take a quarter, a
/// half, three quarters and all of the pass, and the source's own interval where that was
/// predicted.
///
/// Errc::invalid_argument: fewer than two settings were measured; mismatch: other knobs or another
/// number of steps or codecs, or levels that the source cannot tell of.
CLEAVE_EXPORT core::Result<void> transfer(table::HostProfile& target,
                                          const table::HostProfile& source,
                                          const device::PowerOf& power,
                                          const device::SliceOf& slice);

}  // namespace cleave::inline v0::profiler
