// Whether a TorchScript file is whole. libtorch's own reader crashes on some damaged files and
// takes others for good; the CRC-32 that the zip format keeps for every entry tells.
#pragma once

#include <cleave/core/result.hpp>

#include <filesystem>

namespace cleave::inline v0::model {

/// Reads the whole file once. A TorchScript file is a zip archive; the format is PKWARE's
/// APPNOTE.TXT 6.3.9, sections 4.3 and 4.5.3 (zip64).
/// Errc::not_found, permission_denied, io, corrupt (not a zip, not a TorchScript model, truncated,
/// flipped bits).
core::Result<void> check_model_file(const std::filesystem::path& path);

}  // namespace cleave::inline v0::model
