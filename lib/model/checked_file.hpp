// Whether a TorchScript file is whole and says nothing that libtorch would believe at its peril.
// libtorch's own reader crashes on some damaged files and takes others for good; the CRC-32 that
// the zip format keeps for every entry tells. It also takes the sizes that a pickle states for
// tensors at their word, and reads past the end of their bytes.
#pragma once

#include "lib/model/byte_source.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstdint>
#include <string>

namespace cleave::inline v0::model {

/// What an archive may hold. Each is far above what the largest published networks need.
struct ArchiveLimits {
  std::uint64_t entries = 1'000'000;
  std::uint64_t directory = std::uint64_t{256} << 20;  ///< bytes of the list of entries
  /// Bytes of all compressed entries (code, pickles) when unpacked; a stored entry cannot be larger
  /// than the file.
  std::uint64_t unpacked = std::uint64_t{1} << 30;
  std::uint64_t pickle = std::uint64_t{256} << 20;  ///< bytes of data.pkl or constants.pkl
};

/// Reads everything once. A TorchScript file is a zip archive; the format is PKWARE's APPNOTE.TXT
/// 6.3.9, sections 4.3 and 4.5.3 (zip64). Checked are: every entry's bounds, that no two overlap,
/// their names (relative, one folder, no two that libtorch would take for one another), that local
/// headers agree with the directory, every CRC-32, and that every tensor of data.pkl and
/// constants.pkl lies inside the entry that holds its bytes. Bits that no CRC-32 covers and that
/// libtorch does not use (timestamps, padding) may be anything.
/// Errc::io, corrupt (not a zip, not a TorchScript model, truncated, flipped bits, hostile),
/// exhausted (over a limit).
CLEAVE_EXPORT core::Result<void> check_archive(const ByteSource& source, const std::string& where,
                                               const ArchiveLimits& limits = {});

}  // namespace cleave::inline v0::model
