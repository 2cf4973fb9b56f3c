// `cleave`: answers what needs no libtorch itself and hands the rest to cleave-torch.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/profile_files.hpp"

#include <cleave/core/version.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>

namespace {

// Replaces this process by the executable that links libtorch; returns only if that failed.
int hand_over(char** argv) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto folder = program.parent_path();
  cleave::cli::set_openmp_waiting();
  for (const auto& candidate :
       {folder / CLEAVE_BIN_TO_LIBEXEC / "cleave-torch", folder / "cleave-torch"})
    if (std::filesystem::exists(candidate, error)) {
      ::execv(candidate.c_str(), argv);
      return cleave::cli::print_error({cleave::core::Errc::io, std::strerror(errno),
                                       candidate.string(), "check the installation"});
    }
  return cleave::cli::print_error({cleave::core::Errc::unsupported,
                                   "this build of cleave has no libtorch", argv[1],
                                   "install or build cleave with CLEAVE_TORCH=ON"});
}

// `cleave profile --diff` and `--merge` read files and measure nothing.
bool only_reads_profiles(int argc, char** argv) {
  return argc > 1 && std::string_view(argv[1]) == "profile" &&
         std::any_of(argv + 2, argv + argc, [](std::string_view argument) {
           return argument == "--diff" || argument.starts_with("--diff=") ||
                  argument == "--merge" || argument.starts_with("--merge=");
         });
}

}  // namespace

int main(int argc, char** argv) {
  using namespace cleave::cli;
  prepare_process();
  locate_data(CLEAVE_BIN_TO_DATA);
  if (argc > 1 && !only_reads_profiles(argc, argv))
    for (const Command& command : commands())
      if (command.torch && command.name == argv[1])
        return hand_over(argv);

  CLI::App app(
      "cleave runs one neural network on two machines: the head on an edge device, the "
      "tail in the\ncloud, split where it meets each request's deadline with the least "
      "energy.",
      "cleave");
  app.set_version_flag("--version", "cleave " + std::string(cleave::core::version()));
  app.require_subcommand(1);
  app.footer(
      "Examples:\n"
      "  cleave zoo build mobilenet_v2 -o mobilenet.pt\n"
      "  cleave inspect mobilenet.pt\n"
      "  cleave verify mobilenet.pt --cuts 20\n"
      "  cleave cert --name cloud\n"
      "  cleave serve --model mobilenet.pt --listen 0.0.0.0:7070 --tls-cert certs/server.pem \\\n"
      "      --tls-key certs/server.key\n"
      "  cleave profile mobilenet.pt --cloud cloud:7070 --ca ca.pem --board raspberry_pi_4 \\\n"
      "      -o m.profile\n"
      "  cleave optimize m.profile -o m.table\n"
      "  cleave run --model mobilenet.pt --table m.table --cloud cloud:7070 --ca ca.pem \\\n"
      "      --requests 100\n\n"
      "Exit codes: 0 success, 1 failure, 2 wrong command line, 3 a file is missing, corrupt, too\n"
      "new or of another model, 4 the other side is not there or refuses, 5 not permitted\n"
      "or not let in, 6 verify found a difference, or profile --validate an error above its "
      "limit,\n"
      "130 interrupted. `cleave SUBCOMMAND --help` tells more.");
  int result = success;
  for (const Command& command : commands())
    if (command.torch) {
      CLI::App* sub = app.add_subcommand(std::string(command.name), std::string(command.summary));
      if (command.name == "profile")
        add_profile_files(*sub, result);
    }
  add_optimize(app, result);
  add_replay(app, result);
  add_workload(app, result);
  add_report(app, result);
  add_doctor(app, result);
  add_calibrate(app, result);
  add_link(app, result);
  add_cert(app, result);
  add_token(app, result);
  return run_app(app, argc, argv, result);
}
