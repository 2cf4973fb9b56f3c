// cleave doctor: what this machine has and lacks.
#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <cleave/device/board.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/device/journal.hpp>

#include <cstdio>
#include <iostream>

namespace cleave::cli {

void add_doctor(CLI::App& app, int& result) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app.add_subcommand("doctor", summary_of("doctor"));
  add_json_flag(*command, *json);
  command->footer(
      "Undoes what a cleave that was killed left changed, then looks at CPU, frequency and share\n"
      "knobs, energy meters, threads and BLAS. Exit code 0, whatever is lacking.\n\n"
      "Example:\n  cleave doctor");
  command->callback([json, &result] {
    const device::Recovery recovery = device::recover(device::default_state_dir());
    const device::Diagnosis diagnosis = device::diagnose();
    for (const core::Error& error : recovery.errors) result = print_error(error);
    if (*json) {
      std::cout << device::to_json(diagnosis) << '\n';
      return;
    }
    for (const std::string& name : recovery.undone)
      std::printf("restored what a cleave that was killed had changed: %s\n", name.c_str());
    for (const device::Finding& finding : diagnosis) {
      std::printf("%-8s %-12s %s\n", std::string(to_string(finding.status)).c_str(),
                  finding.topic.c_str(), finding.what.c_str());
      if (!finding.what_to_do.empty())
        std::printf("%-8s %-12s -> %s\n", "", "", finding.what_to_do.c_str());
    }
    std::string boards;
    for (const std::string& board : device::list_boards())
      boards += (boards.empty() ? "" : ", ") + board;
    std::printf(
        "%-8s %-12s %s\n", boards.empty() ? "missing" : "ok", "boards",
        boards.empty() ? "no board descriptions found: set CLEAVE_DATA_DIR" : boards.c_str());
  });
}

}  // namespace cleave::cli
