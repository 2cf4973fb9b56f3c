// What `cleave profile` does with profiles alone, which needs no libtorch: --diff and --merge.
#pragma once

#include <CLI/CLI.hpp>

namespace cleave::cli {

/// The whole of a `profile` command that measures nothing.
void add_profile_files(CLI::App& command, int& result);

}  // namespace cleave::cli
