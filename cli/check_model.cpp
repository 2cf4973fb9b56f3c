// cleave-torch check-model: opens a model in this process, so that another need not. Started by
// cleave::model for files that are not trusted; the verdict goes to standard output.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "lib/model/trust.hpp"

#include <cleave/model/model.hpp>

#include <unistd.h>

#include <iostream>

namespace cleave::cli {

void add_check_model(CLI::App& app, int& result) {
  struct Options {
    std::string descriptor, path;
    std::vector<std::string> inputs, libraries;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("check-model", "Open a model and tell whether it went well")->group("");
  command->add_option("descriptor", options->descriptor)->required();
  command->add_option("path", options->path)->required();
  command->add_option("--input", options->inputs)->allow_extra_args(false);
  command->add_option("--op-library", options->libraries)->allow_extra_args(false);
  command->callback([options, &result] {
    const auto check = [&]() -> core::Result<void> {
      model::LoadOptions load;
      for (const std::string& text : options->inputs) {
        auto spec = model::parse_input_spec(text);
        if (!spec)
          return core::fail(spec);
        load.inputs.push_back(std::move(*spec));
      }
      load.op_libraries.assign(options->libraries.begin(), options->libraries.end());
      return model::try_to_load(options->descriptor, options->path, std::move(load));
    };
    std::cout << model::verdict_of(check()) << std::flush;
    // What the file brought along must not run on behind the verdict.
    ::_exit(result);
  });
}

}  // namespace cleave::cli
