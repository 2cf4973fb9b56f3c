// Several profiles of one network made into one: halves and links of several devices put together,
// and measurements of one device pooled.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

struct MergeInput {
  std::string name;  ///< for people: the file
  Profile profile;
};

/// Which inputs, by index, give each part; empty: all of them, which then need to be of one
/// machine.
struct MergeChoice {
  std::vector<std::size_t> edge = {}, cloud = {}, link = {};
};

struct MergedProfile {
  Profile profile;
  std::vector<std::string> notes;  ///< what was pooled, and what was dropped, a sentence each
};

/// The statistics of all samples together, from those of each part: the mean weighted by counts,
/// and by the law of total variance
///
///   s^2 = (sum (n_i - 1) s_i^2 + sum n_i (m_i - m)^2) / (N - 1)
///
/// which is what mean and standard deviation (n - 1) of the concatenated samples are. A median does
/// not follow from the parts' medians: theirs are averaged like the means, which lies between them.
/// Timings of no samples count only if there are no others: then the result is the first of them.
/// `parts` must not be empty.
CLEAVE_EXPORT Timing pool(std::span<const Timing> parts);

/// One profile of the inputs' network.
///
/// A half that one input gives is taken as it is. Halves of several need equal and known
/// Provenance, the same knobs and the same source of watts. Their levels are united, numbers
/// ascending, words in the order of the inputs. A setting that several of them measured is pooled:
/// the whole pass with pool(); each step's mean is weighted by the whole passes, so that steps go
/// on adding up to them; codec costs and metered watts are weighted alike. What was measured goes
/// before what was predicted, and of several predictions the one with the narrowest interval stays.
/// HostProfile::fit is then that of all inputs whose predictions stay: counts added, the larger of
/// the medians (that of all together is no larger) and of the worst. Setting::exchange stays where
/// all of them measured all settings: it went over each one's link. Conditions are means over the
/// time, and the worst of the worst; memory is the most that one of a half's inputs needed;
/// Setting::in_requests is weighted like the steps. HostProfile::crossing is averaged as a part of
/// the fastest pass, weighted by the passes of those that tell it.
///
/// The link is that of the chosen inputs; without a choice, that of those that give both the edge
/// and the cloud. Several are averaged with equal weights, rates by time per byte; the spread of
/// the round trip takes in how far they are apart. The radio's energy per byte goes with the link,
/// whose rates it depends on.
///
/// Of each cut and codec the entry that counted on most samples stays, labels before agreement;
/// samples are not added up, since two profiles may have counted on the same inputs. Accuracies
/// other than those of the first input's weights are dropped, and those of agreement where others
/// count labels. Codecs that an input lacks are dropped. The prediction errors stay only if one
/// input gives both halves and the link: they were of the whole.
///
/// The order of the inputs matters for words, names and weights alone.
/// Errc::invalid_argument: no input, an index out of range, an invalid profile; mismatch: other
/// networks, or parts that would need a choice, with the one to make.
CLEAVE_EXPORT core::Result<MergedProfile> merge(std::span<const MergeInput> inputs,
                                                const MergeChoice& choice = {});

}  // namespace cleave::inline v0::table
