// cleave zoo: well-known networks as TorchScript files.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/json_text.hpp"

#include <cleave/model/zoo.hpp>

#include <nlohmann/json.hpp>

#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

std::string shape(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text;
}

void list(bool as_json) {
  if (as_json) {
    nlohmann::json entries = nlohmann::json::array();
    for (const model::ZooEntry& entry : model::zoo())
      entries.push_back({{"name", entry.name},
                         {"description", entry.description},
                         {"input", shape(entry.input)},
                         {"outputs", entry.outputs},
                         {"parameters", entry.parameters},
                         {"source", entry.source}});
    std::cout << json_text(entries) << '\n';
    return;
  }
  for (const model::ZooEntry& entry : model::zoo())
    std::printf("%-18s %-13s %11llu parameters  %s\n", entry.name.c_str(),
                shape(entry.input).c_str(), static_cast<unsigned long long>(entry.parameters),
                entry.description.c_str());
}

}  // namespace

void add_zoo(CLI::App& app, int& result) {
  struct Options {
    bool json = false;
    std::string name;
    std::string out;
    std::uint64_t seed = 1;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("zoo", summary_of("zoo"));
  command->require_subcommand(1);
  command->footer(
      "The weights are random: good for latency and bytes, never for accuracy.\n\n"
      "Examples:\n  cleave zoo list\n  cleave zoo build mobilenet_v2 -o mobilenet.pt");
  CLI::App* list_command = command->add_subcommand("list", "List the networks");
  add_json_flag(*list_command, options->json);
  list_command->callback([options] { list(options->json); });
  CLI::App* build = command->add_subcommand("build", "Build one network");
  build->add_option("name", options->name, "A name from `cleave zoo list`")->required();
  build->add_option("-o,--output", options->out, "The TorchScript file to write")->required();
  build->add_option("--seed", options->seed, "Of the random weights")->capture_default_str();
  build->callback([options, &result] {
    if (const auto built = model::build_zoo_model(options->name, options->seed, options->out);
        !built)
      result = print_error(built.error());
    else
      std::printf("wrote %s\n", options->out.c_str());
  });
}

}  // namespace cleave::cli
