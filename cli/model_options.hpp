// The options by which a model is named on the command line.
#pragma once

#include <cleave/core/provenance.hpp>
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
  std::string device = "cpu";
  model::PlanKind plan = model::PlanKind::fused;
  model::Untrusted untrusted = model::Untrusted::check;
  bool trust = false;
};

/// MODEL as a positional argument (or --model), --input, --all-cuts, --op-library, and
/// add_loading_options().
void add_model_options(CLI::App& app, ModelOptions& options, bool positional);
/// --device, --plan, --untrusted and --trust: for commands that name their models in another way.
void add_loading_options(CLI::App& app, ModelOptions& options);

/// This machine, the device of the options, and the libraries of this program.
core::Provenance machine_of(const ModelOptions& options);

core::Result<std::shared_ptr<const model::Model>> load_model(const ModelOptions& options);

}  // namespace cleave::cli
