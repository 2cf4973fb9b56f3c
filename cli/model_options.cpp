#include "cli/model_options.hpp"

namespace cleave::cli {

void add_model_options(CLI::App& app, ModelOptions& options, bool positional) {
  app.add_option(positional ? "model" : "--model", options.path, "A TorchScript file")->required();
  app.add_option("--input", options.inputs,
                 "Shape of an input where the file does not tell it, as 1x3x224x224 or "
                 "1x10:int64; int:3, none, [1x4,1x4], {key=1x4} for other values; once per input")
      ->allow_extra_args(false);
  app.add_option("--op-library", options.op_libraries,
                 "A shared library that registers operators which the model uses; it is code, so "
                 "only one that you trust")
      ->allow_extra_args(false);
  app.add_flag("--all-cuts", options.all_cuts,
               "List the places between steps that compute nothing, too");
}

core::Result<std::shared_ptr<const model::Model>> load_model(const ModelOptions& options) {
  model::LoadOptions load;
  load.all_cuts = options.all_cuts;
  load.op_libraries.assign(options.op_libraries.begin(), options.op_libraries.end());
  for (const std::string& text : options.inputs) {
    auto spec = model::parse_input_spec(text);
    if (!spec)
      return core::fail(spec);
    load.inputs.push_back(std::move(*spec));
  }
  return model::load(options.path, load);
}

}  // namespace cleave::cli
