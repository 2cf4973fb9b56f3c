// What was changed on this machine and what it was before, on disk before each change, so that the
// next start can undo it after a crash.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/nvml.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// /run/cleave for root, else $XDG_RUNTIME_DIR/cleave, else /tmp/cleave-<uid>.
CLEAVE_EXPORT std::filesystem::path default_state_dir();

/// The changes to one resource ("cpufreq-policy0", "cpu_share-1234"), in <state_dir>/NAME.journal.
/// The file is locked (flock) while the journal is open: it is also the lock that keeps two
/// processes from fighting over one knob. A forked child shares the lock until it executes another
/// program. Not thread-safe.
///
/// The file holds one JSON object a line: {"file": path, "value": original}, {"cgroup": path,
/// "parent": path}, {"command": command, "milliseconds": timeout} or {"nvml": library, "gpu": UUID,
/// "setting": name, "value": original}. A last line that is cut short belongs to a change that was
/// not made.
class CLEAVE_EXPORT Journal {
 public:
  /// Creates state_dir (mode 0700) if need be. A journal left by a dead process is undone first.
  /// Errors: in_use (a live process has it; says which), permission_denied (also when the directory
  /// belongs to another user or others may write to it), io; and what undoing may give.
  static core::Result<Journal> open(const std::filesystem::path& state_dir, const std::string& name,
                                    std::shared_ptr<Files> files = real_files());
  Journal(Journal&&) noexcept;
  Journal& operator=(Journal&&) noexcept;
  /// Closes the lock. Undoes nothing: entries that are left stay on disk for recover().
  ~Journal();

  /// Call before writing to a control file for the first time: on disk when this returns.
  [[nodiscard]] core::Result<void> will_write(const std::filesystem::path& file,
                                              const std::string& original);
  /// Call before creating a control group. Undone by moving its processes and threads to `parent`
  /// and removing it. `group` must be named cleave-*.
  [[nodiscard]] core::Result<void> will_create_group(const std::filesystem::path& group,
                                                     const std::filesystem::path& parent);
  /// Call before a change that `command` undoes (`sh -c`, within the time). Its exit status says
  /// whether it did.
  [[nodiscard]] core::Result<void> will_run(const std::string& command, core::Seconds timeout);
  /// Call before changing a setting of a GPU.
  [[nodiscard]] core::Result<void> will_set(const GpuSetting& original);
  /// Undoes everything, the last change first, and verifies it. All entries are tried; the first
  /// error is returned, and then the file keeps them for recover(). In a forked child it does
  /// nothing: the settings are its parent's. What is gone
  /// already (a removed group, an unplugged CPU's policy) counts as undone.
  [[nodiscard]] core::Result<void> undo();

 private:
  struct State;
  explicit Journal(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct Recovery {
  std::vector<std::string> undone;  ///< names of the journals whose owner had died
  std::vector<std::string> live;    ///< names of those that a running process holds
  std::vector<core::Error> errors;  ///< what could not be undone; those journals are kept
};

/// Undoes what dead processes left behind. To be called when a program starts. A state_dir that
/// does not exist is nothing to recover.
CLEAVE_EXPORT Recovery recover(const std::filesystem::path& state_dir,
                               std::shared_ptr<Files> files = real_files());

}  // namespace cleave::inline v0::device
