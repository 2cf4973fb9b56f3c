// Control groups: where a process is, and how a group is emptied and removed.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>

#include <filesystem>
#include <string>

namespace cleave::inline v0::device {

/// Moves all processes and threads of `group` to `parent` and removes it. Errors: those of the
/// files; in_use if processes keep appearing in it or it has groups of its own.
core::Result<void> dissolve_group(Files& files, const std::filesystem::path& group,
                                  const std::filesystem::path& parent);

/// The hierarchy that controls the CPU.
struct CpuHierarchy {
  int version = 0;             ///< 1 or 2
  std::filesystem::path root;  ///< where it is mounted
};
/// Errors: unsupported if there is none, with a hint.
core::Result<CpuHierarchy> cpu_hierarchy(const Machine& machine);

/// The group that the process (a directory of procfs: "self", "123") is in. In a container procfs
/// may name a group outside what is mounted: then the root of the mount is it.
core::Result<std::filesystem::path> group_of(const Machine& machine, const CpuHierarchy& hierarchy,
                                             const std::string& process);

}  // namespace cleave::inline v0::device
