// `cleave profile --diff A B`, which needs no libtorch.
#pragma once

#include <cleave/core/result.hpp>

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace cleave::cli {

/// --diff A B.
CLI::Option* add_diff_option(CLI::App& app, std::vector<std::string>& files);

/// Prints the comparison of two profiles.
core::Result<void> print_diff(const std::string& a, const std::string& b, bool json);

}  // namespace cleave::cli
