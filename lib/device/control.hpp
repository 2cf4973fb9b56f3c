// Writing the kernel's control files: noted, verified, in an order that the kernel takes.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/journal.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// Writes and reads back. A number that is read back may differ by less than `tolerance`: some
/// files keep a coarser unit. Errors: those of Files; refused if the kernel kept another value.
core::Result<void> write_and_verify(Files& files, const std::filesystem::path& file,
                                    const std::string& value, long tolerance = 1);

/// The same, with what the file held noted first. Does nothing if it holds the value.
core::Result<void> set_and_verify(Files& files, Journal& journal, const std::filesystem::path& file,
                                  const std::string& value, long tolerance = 1);

/// Puts minimum and maximum both on `value`, in the order that keeps minimum <= maximum at every
/// moment: older kernels refuse anything else.
core::Result<void> clamp(Files& files, Journal& journal, const std::filesystem::path& least,
                         const std::filesystem::path& most, long value, long tolerance = 1);

/// A list of frequencies, above 0, as the file gives them. Errors: corrupt.
core::Result<std::vector<long>> parse_frequencies(const std::string& text,
                                                  const std::filesystem::path& file);

/// Is the frequency still in the list of `file`? One that is not there, or empty, allows all.
/// Errors: mismatch, corrupt.
core::Result<void> check_offered(Files& files, const std::filesystem::path& file, long frequency,
                                 const std::string& label);

}  // namespace cleave::inline v0::device
