#include "lib/device/cgroup.hpp"

#include "lib/device/parse.hpp"

#include <algorithm>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

// Moves the members that `file` lists (cgroup.procs, tasks, cgroup.threads). A group without that
// file, or one that may not be listed so (a threaded group's processes), has none.
core::Result<void> move_members(Files& files, const fs::path& group, const fs::path& parent,
                                const std::string& file) {
  const auto members = files.read(group / file);
  if (!members)
    return {};
  for (std::string_view member : words(*members)) {
    // 0 stands for a process of another PID namespace; writing it would move this one.
    if (member == "0")
      continue;
    if (auto moved = files.write(parent / file, member);
        !moved && moved.error().code != core::Errc::not_found)
      return moved;
  }
  return {};
}

}  // namespace

core::Result<void> dissolve_group(Files& files, const fs::path& group, const fs::path& parent) {
  core::Result<void> removed;
  // A process may fork between the listing and the removal.
  for (int attempt = 0; attempt < 100; ++attempt) {
    for (const char* file : {"cgroup.procs", "tasks", "cgroup.threads"})
      if (auto moved = move_members(files, group, parent, file); !moved)
        return moved;
    removed = files.remove_directory(group);
    if (removed || removed.error().code != core::Errc::in_use)
      return removed;
  }
  return removed;
}

core::Result<CpuHierarchy> cpu_hierarchy(const Machine& machine) {
  Files& files = *machine.files;
  // Version 1 mounts a controller, or several joined by commas, in a folder of that name.
  for (const std::string& name : files.list(machine.cgroup)) {
    std::string spaced = name;
    std::replace(spaced.begin(), spaced.end(), ',', ' ');
    if (contains_word(spaced, "cpu") && files.exists(machine.cgroup / name / "cgroup.procs"))
      return CpuHierarchy{1, machine.cgroup / name};
  }
  for (const fs::path& root : {machine.cgroup, machine.cgroup / "unified"})
    if (const auto controllers = files.read(root / "cgroup.controllers");
        controllers && contains_word(*controllers, "cpu"))
      return CpuHierarchy{2, root};
  return core::fail(core::Errc::unsupported, "no control group hierarchy with a cpu controller",
                    machine.cgroup.string(),
                    "mount cgroup2, or enable CONFIG_CFS_BANDWIDTH in the kernel");
}

core::Result<fs::path> group_of(const Machine& machine, const CpuHierarchy& hierarchy,
                                const std::string& process) {
  const fs::path list = machine.proc / process / "cgroup";
  const auto text = machine.files->read(list);
  if (!text)
    return core::fail(text);
  for (std::string_view line : lines(*text)) {
    // hierarchy:controllers:path (cgroups(7)); version 2 is "0::path".
    const auto first = line.find(':');
    if (first == std::string_view::npos)
      continue;
    const auto second = line.find(':', first + 1);
    if (second == std::string_view::npos)
      continue;
    std::string controllers(line.substr(first + 1, second - first - 1));
    std::replace(controllers.begin(), controllers.end(), ',', ' ');
    const bool ours =
        hierarchy.version == 2 ? line.substr(0, first) == "0" : contains_word(controllers, "cpu");
    if (!ours)
      continue;
    const fs::path below = fs::path(line.substr(second + 1)).relative_path();
    if (std::find(below.begin(), below.end(), fs::path("..")) != below.end())
      return hierarchy.root;
    const fs::path group = below.empty() ? hierarchy.root : hierarchy.root / below;
    return machine.files->exists(group) ? group : hierarchy.root;
  }
  return core::fail(core::Errc::unsupported, "the process is in no group with a cpu controller",
                    list.string());
}

}  // namespace cleave::inline v0::device
