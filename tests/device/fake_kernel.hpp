// A kernel's control files in memory, with the rules that matter: moving processes between control
// groups, values refused, writes ignored, files that vanish, and failure of the Nth operation.
#pragma once

#include <cleave/device/files.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace cleave::device_tests {

namespace fs = std::filesystem;
using core::Errc;
using core::Result;

class FakeKernel final : public device::Files {
 public:
  std::map<std::string, std::string> files;  // and what they hold
  std::set<std::string> directories;
  std::set<std::string> denied;   // may be read, not written
  std::set<std::string> hidden;   // may not even be read
  std::set<std::string> ignored;  // writes succeed and change nothing
  /// What is kept of a value that is written; all of it if empty.
  std::function<std::string(const std::string& path, const std::string& value)> kept;
  /// Fails (false) or changes a write; for rules of a particular file.
  std::function<Result<void>(const std::string& path, const std::string& value)> rule;
  int fail_at = -1;  // this operation that changes something fails with io; -1: none
  int operations = 0;

  void put(const std::string& path, const std::string& text) {
    files[path] = text;
    for (fs::path dir = fs::path(path).parent_path(); dir.has_relative_path();
         dir = dir.parent_path())
      directories.insert(dir.string());
  }

  // --- control groups ---
  // Version 1, with the cpu controller at `root` and everybody in it.
  void mount_v1(const std::string& root, const std::set<std::string>& pids) {
    v1_ = root;
    make_group(root);
    members_[root] = pids;
  }
  // Version 2; `enabled`: the controllers that the root hands down.
  void mount_v2(const std::string& root, const std::string& enabled) {
    v2_ = root;
    controllers_[root] = "cpu memory";
    make_group(root);
    files[root + "/cgroup.subtree_control"] = enabled;
  }
  void add_group(const std::string& path, const std::set<std::string>& pids,
                 const std::string& enabled = "") {
    make_group(path);
    members_[path] = pids;
    if (!v2_.empty())
      files[path + "/cgroup.subtree_control"] = enabled;
  }
  std::set<std::string> members(const std::string& group) { return members_[group]; }
  std::set<std::string> threads(const std::string& group) { return threads_[group]; }

  /// Everything there is, to compare before and after.
  std::string snapshot() {
    std::ostringstream all;
    for (const auto& [path, text] : files) all << path << "=" << text << "\n";
    for (const auto& dir : directories) all << dir << "/\n";
    for (const auto& [group, pids] : members_)
      for (const auto& pid : pids) all << group << ":" << pid << "\n";
    for (const auto& [group, tids] : threads_)
      for (const auto& tid : tids) all << group << ":thread " << tid << "\n";
    return all.str();
  }

  // --- Files ---
  Result<std::string> read(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string();
    if (hidden.contains(path))
      return core::fail(Errc::permission_denied, "cannot read", path);
    const std::string group = where.parent_path().string(), name = where.filename().string();
    if (is_group(group)) {
      if (name == "cgroup.procs")
        return join(members_[group]);
      if (name == "tasks" && !v1_.empty())
        return join(threads_[group]);
      if (name == "cgroup.threads" && !v2_.empty())
        return join(threads_[group]);
      if (name == "cgroup.controllers" && !v2_.empty())
        return group == v2_
                   ? controllers_[v2_]
                   : files[where.parent_path().parent_path().string() + "/cgroup.subtree_control"];
      if (name == "cpu.max" && !cpu_enabled(group))
        return core::fail(Errc::not_found, "no such file", path);
    }
    const auto found = files.find(path);
    if (found == files.end())
      return core::fail(Errc::not_found, "no such file", path);
    return found->second;
  }

  Result<void> write(const fs::path& where, std::string_view text) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string(), value(text);
    if (auto counted = count(path); !counted)
      return counted;
    if (denied.contains(path) || hidden.contains(path))
      return core::fail(Errc::permission_denied, "cannot write", path, "run as root");
    if (ignored.contains(path))
      return {};
    if (rule)
      if (auto allowed = rule(path, value); !allowed)
        return allowed;
    const std::string group = where.parent_path().string(), name = where.filename().string();
    if (is_group(group)) {
      if (name == "cgroup.procs")
        return move(members_, group, value);
      if ((name == "tasks" && !v1_.empty()) || (name == "cgroup.threads" && !v2_.empty()))
        return move(threads_, group, value);
      if (name == "cgroup.subtree_control")
        return control(group, value);
      if (name == "cpu.max" && !cpu_enabled(group))
        return core::fail(Errc::not_found, "no such file", path);
    }
    const auto found = files.find(path);
    if (found == files.end())
      return core::fail(Errc::not_found, "no such file", path);
    found->second = kept ? kept(path, value) : value;
    return {};
  }

  Result<void> make_directory(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string();
    if (auto counted = count(path); !counted)
      return counted;
    if (denied.contains(where.parent_path().string()))
      return core::fail(Errc::permission_denied, "cannot create", path);
    if (directories.contains(path))
      return core::fail(Errc::in_use, "exists", path);
    if (!directories.contains(where.parent_path().string()))
      return core::fail(Errc::not_found, "no such directory", path);
    make_group(path);
    return {};
  }

  Result<void> remove_directory(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string();
    if (auto counted = count(path); !counted)
      return counted;
    if (!directories.contains(path))
      return core::fail(Errc::not_found, "no such directory", path);
    if (!members_[path].empty() || !threads_[path].empty())
      return core::fail(Errc::in_use, "busy", path);
    directories.erase(path);
    members_.erase(path);
    threads_.erase(path);
    std::erase_if(files, [&](const auto& file) { return file.first.starts_with(path + "/"); });
    return {};
  }

  bool exists(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string();
    return files.contains(path) || directories.contains(path);
  }
  bool writable(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    const std::string path = where.string();
    return !denied.contains(path) && !hidden.contains(path);
  }
  std::vector<std::string> list(const fs::path& where) override {
    const std::lock_guard lock(mutex_);
    std::set<std::string> names;
    const auto add = [&](const std::string& path) {
      if (fs::path(path).parent_path() == where)
        names.insert(fs::path(path).filename().string());
    };
    for (const auto& [path, text] : files) add(path);
    for (const auto& path : directories) add(path);
    return {names.begin(), names.end()};
  }
  std::optional<fs::path> resolve(const fs::path& where) override {
    return exists(where) ? std::optional(where) : std::nullopt;
  }

 private:
  Result<void> count(const std::string& path) {
    if (operations++ == fail_at)
      return core::fail(Errc::io, "the operation that was to fail", path);
    return {};
  }
  static std::string join(const std::set<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : "\n") + word;
    return text;
  }
  bool is_group(const std::string& path) {
    return directories.contains(path) && members_.contains(path);
  }
  void make_group(const std::string& path) {
    members_[path];
    threads_[path];
    if (!v1_.empty()) {
      put(path + "/cgroup.procs", "");
      put(path + "/tasks", "");
      put(path + "/cpu.cfs_quota_us", "-1");
      put(path + "/cpu.cfs_period_us", "100000");
    } else {
      put(path + "/cgroup.procs", "");
      put(path + "/cgroup.threads", "");
      put(path + "/cgroup.subtree_control", "");
      put(path + "/cgroup.type", "domain");
      put(path + "/cpu.max", "max 100000");
    }
  }
  bool cpu_enabled(const std::string& group) {
    return group != v2_ &&
           files[fs::path(group).parent_path().string() + "/cgroup.subtree_control"].find("cpu") !=
               std::string::npos;
  }
  Result<void> move(std::map<std::string, std::set<std::string>>& table, const std::string& group,
                    const std::string& id) {
    bool known = false;
    for (auto& [other, ids] : table) known = known || ids.contains(id);
    if (!known)
      return core::fail(Errc::not_found, "no such process", id);
    // No internal processes: a group that hands controllers down holds none (cgroup-v2.rst).
    if (!v2_.empty() && group != v2_ && !files[group + "/cgroup.subtree_control"].empty() &&
        &table == &members_)
      return core::fail(Errc::in_use, "hands controllers down", group);
    for (auto& [other, ids] : table) ids.erase(id);
    table[group].insert(id);
    return {};
  }
  Result<void> control(const std::string& group, const std::string& value) {
    if (value == "+cpu") {
      if (group != v2_ && !members_[group].empty())
        return core::fail(Errc::in_use, "has processes", group);
      files[group + "/cgroup.subtree_control"] = "cpu";
    } else if (value == "-cpu") {
      files[group + "/cgroup.subtree_control"] = "";
    } else {
      return core::fail(Errc::invalid_argument, "refused", group);
    }
    return {};
  }

  std::recursive_mutex mutex_;
  std::string v1_, v2_;
  std::map<std::string, std::string> controllers_;
  std::map<std::string, std::set<std::string>> members_, threads_;
};

/// A folder of its own under the temporary directory, gone at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "cleave-device-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const fs::path& path() const { return path_; }
  /// Files that are left in it.
  [[nodiscard]] std::size_t size() const {
    std::size_t n = 0;
    for (const auto& entry : fs::directory_iterator(path_)) n += entry.exists() ? 1 : 0;
    return n;
  }

 private:
  fs::path path_;
};

/// A machine that is nothing but `kernel`'s files, without an environment.
inline device::Machine machine_on(std::shared_ptr<FakeKernel> kernel) {
  device::Machine machine;
  machine.sys = "/sys";
  machine.proc = "/proc";
  machine.cgroup = "/cg";
  machine.lib = "/lib";
  machine.nvml = "none";
  machine.files = std::move(kernel);
  machine.environment = [](const std::string&) { return std::nullopt; };
  return machine;
}

}  // namespace cleave::device_tests
