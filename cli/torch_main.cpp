// `cleave-torch`: the subcommands that need libtorch. Users start it through `cleave`.
#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <cleave/core/version.hpp>

#include <unistd.h>

#include <cstdlib>

int main(int argc, char** argv) {
  using namespace cleave::cli;
  prepare_process();
  // Too late for this process, which has loaded libgomp.
  if (set_openmp_waiting())
    ::execv("/proc/self/exe", argv);
  locate_data(CLEAVE_LIBEXEC_TO_DATA);

  CLI::App app("The subcommands of cleave that need libtorch.", "cleave");
  app.set_version_flag("--version", "cleave " + std::string(cleave::core::version()));
  app.require_subcommand(1);
  int result = success;
  add_inspect(app, result);
  add_verify(app, result);
  add_codecs(app, result);
  add_profile(app, result);
  add_serve(app, result);
  add_push(app, result);
  add_run(app, result);
  add_zoo(app, result);
  add_check_model(app, result);
  return run_app(app, argc, argv, result);
}
