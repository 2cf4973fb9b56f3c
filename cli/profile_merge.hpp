// `cleave profile --merge A B -o OUT`, which needs no libtorch.
#pragma once

#include <cleave/core/result.hpp>

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace cleave::cli {

struct MergeFiles {
  std::vector<std::string> inputs;
  std::vector<std::string> edge, cloud, link;  ///< of the inputs; empty: all
};

/// --merge A B ..., --edge-from, --cloud-from, --link-from; the first of them.
CLI::Option* add_merge_options(CLI::App& app, MergeFiles& files);

/// Writes what table::merge() makes of the files, and says what it did.
core::Result<void> merge_profiles(const MergeFiles& files, const std::string& out, bool json);

}  // namespace cleave::cli
