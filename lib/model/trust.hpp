// The door through which load() lets model files.
#pragma once

#include "lib/model/byte_source.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/model/model.hpp>
#include <cleave/model/trust.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::model {

/// As the public one, of bytes that are already open.
CLEAVE_EXPORT core::Result<std::string> file_fingerprint(const ByteSource& source,
                                                         const std::string& where);

/// Lets a file through, refuses it, or has a child process open it first, as the options say.
/// `options` are what load() was given. Errors: those that the child found in
/// the file; corrupt (the child crashed), exhausted (it took too long or too much memory),
/// permission_denied (not on the list, and untrusted files are refused), not_found (no checker).
core::Result<void> admit(const FileSource& file, const std::filesystem::path& path,
                         const LoadOptions& options);

/// What the child does: load() of what is open as `descriptor` and is called `path`, which tells
/// where an ONNX file's external weights are. Kernels are not looked for.
CLEAVE_EXPORT core::Result<void> try_to_load(const std::filesystem::path& descriptor,
                                             const std::filesystem::path& path,
                                             LoadOptions options);

/// Runs the checker in a child process; see admit().
CLEAVE_EXPORT core::Result<void> try_in_child(const FileSource& file,
                                              const std::filesystem::path& path,
                                              const LoadOptions& options);

/// A child tells what it found in one line: "ok", or "error CODE\tWHAT\tHINT" with the code's name.
CLEAVE_EXPORT std::string verdict_of(const core::Result<void>& checked);
/// Errc::corrupt if the line is none of these.
CLEAVE_EXPORT core::Result<void> parse_verdict(std::string_view line, const std::string& where);

}  // namespace cleave::inline v0::model
