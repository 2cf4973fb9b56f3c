// The kernels chosen for a network on this machine, kept on disk so that they are measured once.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// The processor, and the versions of the libraries that the kernels come from.
std::string machine_and_libraries();

/// The names written under this key; nothing if there are none, or the file is not what it should
/// be (it is then measured and written anew).
std::optional<std::vector<std::string>> read_choices(const std::string& key,
                                                     const std::filesystem::path& folder);

/// Replaces the file atomically. That the folder cannot be written is no error: it is a cache.
void write_choices(const std::string& key, const std::filesystem::path& folder,
                   const std::vector<std::string>& names);

/// $XDG_CACHE_HOME/cleave/plans or ~/.cache/cleave/plans; empty if neither is set.
std::filesystem::path default_plan_cache();

}  // namespace cleave::inline v0::model
