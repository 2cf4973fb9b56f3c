#include "cli/model_options.hpp"

#include "cli/finite.hpp"

#include <cleave/device/provenance.hpp>
#include <cleave/model/libraries.hpp>

#include <map>

namespace cleave::cli {

void add_model_options(CLI::App& app, ModelOptions& options, bool positional) {
  app.add_option(positional ? "model" : "--model", options.path, "A TorchScript or ONNX file")
      ->required();
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
  add_loading_options(app, options);
}

void add_loading_options(CLI::App& app, ModelOptions& options) {
  app.add_option("--device", options.device, "Where the network runs: cpu, cuda or cuda:1")
      ->capture_default_str();
  app.add_option("--plan", options.plan,
                 "fused: convolutions and the like are one step with what follows them, fastest; "
                 "unfused: one operator a step, more places to cut. Both sides need the same")
      ->transform(one_of<model::PlanKind>(
          {{"fused", model::PlanKind::fused}, {"unfused", model::PlanKind::unfused}}))
      ->default_str("fused");
  app.add_option("--untrusted", options.untrusted,
                 "What becomes of a file that is not on the trusted list: check (a child process "
                 "opens it first), refuse or load")
      ->transform(one_of<model::Untrusted>({{"check", model::Untrusted::check},
                                            {"refuse", model::Untrusted::refuse},
                                            {"load", model::Untrusted::load}}))
      ->default_str("check");
  app.add_flag("--trust", options.trust,
               "Put the file on the trusted list, unchecked: a TorchScript file is code");
}

core::Provenance machine_of(const ModelOptions& options) {
  core::Provenance here = device::this_machine();
  here.device = options.device;
  for (core::Library& library : model::libraries()) here.libraries.push_back(std::move(library));
  return here;
}

namespace {

core::Result<void> trust(const std::string& path) {
  const auto list = model::default_trusted_list();
  if (!list)
    return core::fail(list);
  const auto fingerprint = model::file_fingerprint(path);
  if (!fingerprint)
    return core::fail(fingerprint);
  return model::TrustedList(*list).add(*fingerprint, model::TrustedList::How::given,
                                       std::filesystem::path(path).filename().string());
}

}  // namespace

core::Result<std::shared_ptr<const model::Model>> load_model(const ModelOptions& options) {
  model::LoadOptions load;
  load.all_cuts = options.all_cuts;
  load.trust.untrusted = options.untrusted;
  load.device = options.device;
  load.plan = options.plan;
  if (options.trust)
    if (auto trusted = trust(options.path); !trusted)
      return core::fail(trusted);
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
