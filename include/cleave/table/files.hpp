// The versioned files of profiles and tables, and their exports.
//
// A file is: 8 bytes magic ("CLVPROF1" / "CLVTABL1"), u32 format version, u64 payload bytes, u64
// XXH3-64 of the payload, all little-endian, then the payload (cereal's portable binary). Files are
// local and trusted after the checksum; nothing that comes over the network is read this way.
//
// Version 2 knows cuts whose head is no prefix; version 3 knows the machines and libraries that the
// figures come from; version 4, of profiles only, knows settings that were predicted; version 5, of
// profiles only, what parts need of memory and under which conditions they were measured; version
// 6, of profiles only, where the network's input crosses. Versions 1 to 5 are read for ever.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

#include <filesystem>
#include <string>

namespace cleave::inline v0::table {

inline constexpr std::uint32_t profile_format_version = 6;
inline constexpr std::uint32_t table_format_version = 3;
/// Larger files are refused unread.
inline constexpr std::size_t file_size_limit = std::size_t{256} << 20;

/// Whether indices, lengths, orders and ranges fit together, so that whoever holds a valid profile
/// or table may index without looking: every level below its knob's count, one step timing per step
/// (the last cut's position), one codec cost per codec, cuts ascending from position 0, heads
/// that are ranges of steps, two stages and one codec a row, rows by ascending energy, every
/// quantity finite and not negative. Errc::invalid_argument, with the first thing that does not
/// fit.
CLEAVE_EXPORT core::Result<void> validate(const Profile& profile);
CLEAVE_EXPORT core::Result<void> validate(const ParetoTable& table);

/// Errors: not_found, permission_denied, exhausted (over the size limit), corrupt (magic, length,
/// checksum, contents that do not fit together), version (written by a newer cleave).
CLEAVE_EXPORT core::Result<Profile> load_profile(const std::filesystem::path& path);
CLEAVE_EXPORT core::Result<ParetoTable> load_table(const std::filesystem::path& path);
/// Atomic: the old file or the whole new one. Errors: invalid_argument (not valid), and those of
/// core::write_file.
CLEAVE_EXPORT core::Result<void> save(const Profile& profile, const std::filesystem::path& path);
CLEAVE_EXPORT core::Result<void> save(const ParetoTable& table, const std::filesystem::path& path);

/// Everything, as JSON with units in the key names ("latency_s", "energy_j").
CLEAVE_EXPORT std::string to_json(const Profile& profile);
CLEAVE_EXPORT std::string to_json(const ParetoTable& table);
/// One line per cut x codec x setting pair is too much to read: one line per cut, with its bytes.
CLEAVE_EXPORT std::string to_csv(const Profile& profile);
/// One line per row.
CLEAVE_EXPORT std::string to_csv(const ParetoTable& table);

}  // namespace cleave::inline v0::table
