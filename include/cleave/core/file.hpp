// Whole files, read with a bound and replaced atomically.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::core {

/// Reads a regular file of at most `limit` bytes. Errc::not_found, permission_denied, exhausted
/// (larger than the limit), io.
CLEAVE_EXPORT Result<std::vector<std::byte>> read_file(const std::filesystem::path& path,
                                                       std::size_t limit);
CLEAVE_EXPORT Result<std::string> read_text(const std::filesystem::path& path, std::size_t limit);

/// Who may read a file that is written.
enum class Readers {
  usual,  ///< as the umask says; a file that is replaced keeps its mode
  owner,  ///< its owner alone (0600), whatever it was before: for keys
};

/// Writes beside the target, syncs and renames: a reader sees the old file or the whole new one. On
/// failure (no space, no permission) the old file is untouched and nothing is left behind.
CLEAVE_EXPORT Result<void> write_file(const std::filesystem::path& path,
                                      std::span<const std::byte> bytes,
                                      Readers readers = Readers::usual);
CLEAVE_EXPORT Result<void> write_file(const std::filesystem::path& path, std::string_view text,
                                      Readers readers = Readers::usual);

}  // namespace cleave::inline v0::core
