// Links every component, and calls something of each that links a library of its own.
#include <cleave/core/version.hpp>
#include <cleave/data/npy.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/model/torch.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/report/report.hpp>
#include <cleave/scheduler/scheduler.hpp>

#include <cstdlib>
#include <iostream>

int main() {
  using namespace cleave;
  const bool held = core::version() == "0.1.0" && !device::diagnose().empty() &&
                    optimizer::parse_algorithm("nsga2").has_value() &&
                    !scheduler::policy_names().empty() && !report::html({}).empty() &&
                    !data::load_npy("no_such_file.npy");
  std::cout << "cleave " << core::version() << " with libtorch " << model::torch_version() << '\n';
  return held ? EXIT_SUCCESS : EXIT_FAILURE;
}
