// The options by which a model is named on the command line.
#pragma once

#include <cleave/model/model.hpp>

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::cli {

struct ModelOptions {
  std::string path;
  std::vector<std::string> inputs;
  std::vector<std::string> op_libraries;
  bool all_cuts = false;
};

/// MODEL as a positional argument (or --model), --input, --all-cuts and --op-library.
void add_model_options(CLI::App& app, ModelOptions& options, bool positional);

core::Result<std::shared_ptr<const model::Model>> load_model(const ModelOptions& options);

}  // namespace cleave::cli
