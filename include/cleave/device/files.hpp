// The kernel's files (sysfs, procfs, cgroups) behind a door that tests can replace.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::device {

/// What governors, meters and sensors do with files. Implementations are thread-safe.
class CLEAVE_EXPORT Files {
 public:
  virtual ~Files();
  /// The whole of a small file, without trailing white space. At most 1 MiB is read.
  /// Errors: not_found, permission_denied, exhausted, io.
  [[nodiscard]] virtual core::Result<std::string> read(const std::filesystem::path& path) = 0;
  /// One write to an existing file, as the kernel's control files want it; never creates one.
  /// Errors: not_found, permission_denied, invalid_argument (the kernel refused the value), in_use
  /// (EBUSY), io.
  [[nodiscard]] virtual core::Result<void> write(const std::filesystem::path& path,
                                                 std::string_view value) = 0;
  /// Errors: in_use if it exists, not_found, permission_denied, io.
  [[nodiscard]] virtual core::Result<void> make_directory(const std::filesystem::path& path) = 0;
  /// Removes a directory that is empty in the file system's eyes (a cgroup's control files do not
  /// count). Errors: not_found, in_use (EBUSY, ENOTEMPTY), permission_denied, io.
  [[nodiscard]] virtual core::Result<void> remove_directory(const std::filesystem::path& path) = 0;
  [[nodiscard]] virtual bool exists(const std::filesystem::path& path) = 0;
  /// May this process write to it? A guess: only the write itself tells.
  [[nodiscard]] virtual bool writable(const std::filesystem::path& path) = 0;
  /// The names in a directory, sorted (numbers by value: policy2 before policy10); none if it
  /// cannot be read.
  [[nodiscard]] virtual std::vector<std::string> list(const std::filesystem::path& path) = 0;
  /// Where a chain of symbolic links ends; nothing if there is no such file.
  [[nodiscard]] virtual std::optional<std::filesystem::path> resolve(
      const std::filesystem::path& path) = 0;
};

/// The file system of this machine.
CLEAVE_EXPORT std::shared_ptr<Files> real_files();

/// Where this machine's kernel files are. Every class of this component takes one; the defaults are
/// the running system, and a test gives the roots of a tree of its own.
struct Machine {
  std::filesystem::path sys = "/sys";
  std::filesystem::path proc = "/proc";
  std::filesystem::path cgroup = "/sys/fs/cgroup";
  std::filesystem::path lib = "/usr/lib";  ///< where libblas.so.3 is looked for
  std::string nvml = "libnvidia-ml.so.1";  ///< what is loaded to reach NVIDIA GPUs
  std::shared_ptr<Files> files = real_files();
  /// An environment variable's value; the process's own environment if empty.
  std::function<std::optional<std::string>(const std::string&)> environment;
};

}  // namespace cleave::inline v0::device
