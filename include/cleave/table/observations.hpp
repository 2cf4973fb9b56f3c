// Runs that were measured elsewhere, in place of a profile: what each setting of the knobs took.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::table {

/// One run of one configuration.
struct ObservedRun {
  core::Seconds latency;
  core::Joules energy;
  double accuracy = 1;  ///< 1 where it was not measured
  friend bool operator==(const ObservedRun&, const ObservedRun&) = default;
};

/// All runs with the same setting of every knob.
struct ObservedConfiguration {
  std::vector<core::LevelIndex> levels;  ///< one per Observations::knobs
  std::vector<ObservedRun> runs;         ///< at least one; in the order of the file
  friend bool operator==(const ObservedConfiguration&, const ObservedConfiguration&) = default;
};

/// Arithmetic means over a configuration's runs.
CLEAVE_EXPORT ObservedRun mean_of(const ObservedConfiguration& configuration);

struct Observations {
  std::string name;  ///< the file's, for people
  /// By the order of the columns, without the "knob." before their names. A column of numbers only
  /// has its levels ascending, any other is of words, in the order of their first occurrence.
  std::vector<core::Knob> knobs;
  std::vector<ObservedConfiguration> configurations;  ///< by their first occurrence
  bool has_accuracy = false;
  friend bool operator==(const Observations&, const Observations&) = default;
};

/// Larger files are refused unread; so are more runs, configurations or values of one knob than
/// these, which bounds the memory taken to some 600 MB.
inline constexpr std::size_t observations_size_limit = std::size_t{128} << 20;
inline constexpr std::size_t most_observed_runs = 4'000'000;
inline constexpr std::size_t most_observed_configurations = 200'000;
inline constexpr std::size_t most_observed_levels = 65'535;

/// Reads a CSV (RFC 4180: quoted fields, LF or CRLF, with or without a byte order mark) with a
/// header. Every column `knob.<name>` is a decision variable; `latency_ms` and `energy_j` are
/// needed, `accuracy` (0..1) is optional, other columns are ignored. Rows with equal knobs are
/// repeated runs of one configuration; numbers that are equal are one level ("1" and "1.0").
/// Errc::corrupt with the line: no rows, no knobs, a missing or doubled column, a row of another
/// length than the header, a field that is empty or no number, a latency or energy that is not
/// above 0, an accuracy beyond 0..1. Errc::exhausted: beyond the limits above.
CLEAVE_EXPORT core::Result<Observations> parse_observations(std::string_view text,
                                                            const std::string& name);
/// The same of a file; further errors are those of core::read_text.
CLEAVE_EXPORT core::Result<Observations> load_observations(const std::filesystem::path& path);

/// What parse_observations() reads back as the same but for the order of levels and configurations:
/// a row a run.
CLEAVE_EXPORT std::string to_csv(const Observations& observations);

/// "cut=7, tpu=max": every knob of a configuration, for people.
CLEAVE_EXPORT std::string describe(const std::vector<core::Knob>& knobs,
                                   const std::vector<core::LevelIndex>& levels);

}  // namespace cleave::inline v0::table
