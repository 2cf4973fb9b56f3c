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
    // The verdict has a stream of its own: what the model prints goes elsewhere.
    const int verdict = ::dup(STDOUT_FILENO);
    if (verdict < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
      ::_exit(failed);
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
    const std::string line = model::verdict_of(check());
    // One write: a pipe takes a line whole. What the file brought along must not run on behind it.
    const bool said =
        ::write(verdict, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    ::_exit(said ? result : failed);
  });
}

}  // namespace cleave::cli
