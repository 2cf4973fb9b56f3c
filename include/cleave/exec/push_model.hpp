// Brings a model file to a cloud that takes some.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/exec/remote.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace cleave::inline v0::exec {

struct PushOptions {
  std::size_t piece = std::size_t{1} << 20;  ///< bytes of one call, above 0
  /// For a piece, and for the check of the whole file in the cloud, which opens it.
  core::Seconds patience = core::Seconds(30), commit_patience = core::Seconds(600);
  std::function<void(std::uint64_t done, std::uint64_t of)> progress;  ///< may be empty
};

/// Sends what the cloud does not have yet of the file and waits until it serves the model. `digest`
/// is the file's SHA-256 as 64 lower-case hexadecimal digits. After Errc::unavailable or timed_out
/// calling it again goes on where it broke off. Errors: not_found (the cloud takes no models, or no
/// such file), those of ModelInbox, and those of Remote::call().
CLEAVE_EXPORT core::Result<core::Fingerprint> push_model(Remote& cloud,
                                                         const std::filesystem::path& file,
                                                         const std::string& digest,
                                                         const PushOptions& options = {});

}  // namespace cleave::inline v0::exec
