// cleave inspect: what a model consists of and where it can be cut.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/model_options.hpp"

#include <cleave/report/terminal.hpp>

#include <nlohmann/json.hpp>

#include <cinttypes>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using nlohmann::json;

json describe(const model::Model& model) {
  json inputs = json::array();
  for (const model::InputSpec& input : model.inputs())
    inputs.push_back({{"name", input.name}, {"shape", model::to_string(input)}});
  json cuts = json::array();
  for (const core::Cut& cut : model.cuts())
    cuts.push_back({{"id", to_string(cut.id)},
                    {"position", cut.position},
                    {"layer", cut.layer},
                    {"op", cut.op},
                    {"bytes", cut.bytes.count()}});
  json steps = json::array();
  for (const model::StepInfo& step : model.steps())
    steps.push_back({{"layer", step.layer},
                     {"op", step.op},
                     {"output", step.output_sizes},
                     {"parameters", step.parameters},
                     {"weight_bytes", step.weight_bytes.count()}});
  json refused = json::array();
  for (const model::RefusedCut& cut : model.refused_cuts())
    refused.push_back(
        {{"position", cut.position}, {"layer", cut.layer}, {"op", cut.op}, {"reason", cut.reason}});
  return {{"name", model.name()},
          {"fingerprint", to_string(model.fingerprint())},
          {"inputs", inputs},
          {"parameters", model.parameter_count()},
          {"weight_bytes", model.weight_bytes().count()},
          {"cuts", cuts},
          {"steps", steps},
          {"refused_cuts", refused}};
}

void print(const model::Model& model) {
  std::printf("%s  %s\n", model.name().c_str(), to_string(model.fingerprint()).c_str());
  for (const model::InputSpec& input : model.inputs())
    std::printf("  input %s %s\n", input.name.c_str(), model::to_string(input).c_str());
  std::printf("  %" PRId64 " parameters, %s of weights, %zu steps, %zu cuts\n\n",
              model.parameter_count(), report::format(model.weight_bytes()).c_str(),
              model.steps().size(), model.cuts().size());
  std::printf("%-16s  %8s  %10s  %s\n", "cut", "position", "bytes", "after");
  for (const core::Cut& cut : model.cuts())
    std::printf("%-16s  %8u  %10s  %s%s%s\n", to_string(cut.id).c_str(), cut.position,
                report::format(cut.bytes).c_str(), cut.layer.c_str(), cut.layer.empty() ? "" : "  ",
                cut.op.c_str());
  for (const model::RefusedCut& cut : model.refused_cuts())
    std::printf("no cut at position %u, after %s %s: %s\n", cut.position, cut.layer.c_str(),
                cut.op.c_str(), cut.reason.c_str());
}

}  // namespace

void add_inspect(CLI::App& app, int& result) {
  struct Options {
    ModelOptions model;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("inspect", summary_of("inspect"));
  add_model_options(*command, options->model, true);
  add_json_flag(*command, options->json);
  command->footer("Example:\n  cleave inspect resnet50.pt --input 1x3x224x224");
  command->callback([options, &result] {
    const auto model = load_model(options->model);
    if (!model) {
      result = print_error(model.error());
      return;
    }
    if (options->json)
      std::cout << describe(**model).dump(2) << '\n';
    else
      print(**model);
  });
}

}  // namespace cleave::cli
