// Which model files may be opened in this process. A TorchScript file is code: libtorch compiles
// and runs it. A file whose content is not on the list of those that were tried before can be
// opened in a child process first, which it may crash, fill or hang instead of the caller.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// What load() does with a file whose content is not on the trusted list. Its archive is checked in
/// any case.
enum class Untrusted : std::uint8_t {
  load,  ///< opens it in this process: for files that the application itself made or ships
  /// Opens it in a child process first, and puts it on the list if all went well. Where the list
  /// cannot be read or written for want of a permission or a place, a child opens it every time.
  check,
  refuse,  ///< Errc::permission_denied
};

/// How files that are not trusted are dealt with.
struct TrustOptions {
  Untrusted untrusted = Untrusted::load;
  /// The trusted list; empty: default_trusted_list().
  std::filesystem::path list;
  /// The program that a child process runs, as `CHECKER check-model DESCRIPTOR PATH
  /// [--input SPEC]... [--op-library FILE]...`: DESCRIPTOR opens the file that PATH named.
  /// Empty: "cleave-torch", as `cleave` finds it, in the folder of this program or in
  /// ../libexec/cleave beside it.
  std::filesystem::path checker;
  /// The child is killed after so long. It runs on one thread.
  core::Seconds time{120};
  /// The child's address space. 0: this machine's memory, and at least 4 GiB.
  core::Bytes memory;
};

/// $XDG_STATE_HOME/cleave/trusted_models, else ~/.local/state/cleave/trusted_models.
/// Errc::not_found if there is neither variable.
CLEAVE_EXPORT core::Result<std::filesystem::path> default_trusted_list();

/// SHA-256 of a file's bytes, as 64 hexadecimal digits. Errors: not_found, permission_denied, io,
/// corrupt (not a regular file).
CLEAVE_EXPORT core::Result<std::string> file_fingerprint(const std::filesystem::path& path);

/// A text file of fingerprints. A line is "SHA-256 libtorch-version how name": a file that one
/// version of libtorch opened safely may crash another. Read afresh by every call, replaced
/// atomically, and locked while it is changed, so several processes may share one. Thread-safe.
class CLEAVE_EXPORT TrustedList {
 public:
  /// How a file came onto the list.
  enum class How : std::uint8_t {
    checked,  ///< a child process opened it
    given,    ///< its operator said so; holds for every version of libtorch
  };
  struct Entry {
    std::string fingerprint, torch_version;
    How how = How::checked;
    std::string name;  ///< of the file when it was added, for people
  };

  /// The file need not exist yet.
  explicit TrustedList(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Errc::corrupt: a line is none of the above, or others than its owner may write to the file;
  /// permission_denied: it cannot be read; exhausted: larger than 16 MiB.
  [[nodiscard]] core::Result<std::vector<Entry>> entries() const;
  /// Of this version of libtorch, or given. Errors as entries().
  [[nodiscard]] core::Result<bool> contains(const std::string& fingerprint) const;
  /// Makes the folder (0700) and the file if there are none. Errors as entries() and write_file().
  core::Result<void> add(const std::string& fingerprint, How how, const std::string& name) const;

 private:
  std::filesystem::path path_;
};

}  // namespace cleave::inline v0::model
