// The door through which load() lets model files.
#pragma once

#include "lib/model/byte_source.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/model/trust.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::model {

/// As the public one, of bytes that are already open.
CLEAVE_EXPORT core::Result<std::string> file_fingerprint(const ByteSource& source,
                                                         const std::string& where);

/// A TorchScript file is code that libtorch compiles and runs. An ONNX file is data: its importer
/// bounds what it reads, so it is opened in this process unless only listed files may be.
enum class Contents : std::uint8_t { code, data };

/// Lets a file through, refuses it, or has a child process open it first, as the options say.
/// `inputs` are what load() was told of the network's inputs. Errors: those that the child found in
/// the file; corrupt (the child crashed), exhausted (it took too long or too much memory),
/// permission_denied (not on the list, and untrusted files are refused), not_found (no checker).
core::Result<void> admit(const FileSource& file, Contents contents, const std::string& name,
                         const std::string& where, const std::vector<std::string>& inputs,
                         const TrustOptions& options);

/// Runs the checker in a child process; see admit().
CLEAVE_EXPORT core::Result<void> try_in_child(const FileSource& file, const std::string& name,
                                              const std::string& where,
                                              const std::vector<std::string>& inputs,
                                              const TrustOptions& options);

/// A child tells what it found in one line: "ok", or "error CODE\tWHAT\tHINT" with the code's name.
CLEAVE_EXPORT std::string verdict_of(const core::Result<void>& checked);
/// Errc::corrupt if the line is none of these.
CLEAVE_EXPORT core::Result<void> parse_verdict(std::string_view line, const std::string& where);

}  // namespace cleave::inline v0::model
