// Two profiles of one network side by side: what differs, and what of that is more than noise.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/profile.hpp>

#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

struct Difference {
  enum class Unit { seconds, bytes_per_second };

  std::string part;  ///< "edge compute", "cloud compute", "encode", "decode", "link"
  std::string what;  ///< of the part: "600 MHz, 1 thread", "int8 at 600 MHz, 1 thread", "up"
  Unit unit = Unit::seconds;
  double a = 0, b = 0;  ///< in the unit
  /// |a - b| is larger than what repeating the measurement would explain; nothing if the profiles
  /// do not tell how much that is.
  std::optional<bool> beyond_spread;

  [[nodiscard]] double ratio() const { return b / a; }
};

struct ProfileComparison {
  std::vector<Difference> differences;      ///< in the order of the parts above
  std::vector<std::string> only_a, only_b;  ///< settings and codecs that the other one lacks
  std::vector<std::string> edge_made_on, cloud_made_on;  ///< see core::differences()
};

/// Settings are matched by their knobs' names and levels' labels, codecs by name. Compute is that
/// of a whole pass. Encoding and decoding are those of as many bytes as the median cut has, at each
/// setting that both have. Of the link: round trip, rates up and down, and the overhead of a
/// request.
///
/// Two means differ beyond their spread if they are more than two standard errors of their
/// difference apart, 2 sqrt(s_a^2 / n_a + s_b^2 / n_b) (B. L. Welch, The generalization of
/// "Student's" problem when several different population variances are involved, Biometrika 34,
/// 1947), two round trips, of which profiles do not keep the number of samples, if they are two
/// standard deviations apart. What drifts from one minute to the next is in no spread.
/// Errc::mismatch: profiles of two networks, by their structure.
CLEAVE_EXPORT core::Result<ProfileComparison> compare(const Profile& a, const Profile& b);

}  // namespace cleave::inline v0::table
