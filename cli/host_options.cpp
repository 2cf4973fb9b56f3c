#include "cli/host_options.hpp"

#include "cli/finite.hpp"

#include <cleave/exec/paced.hpp>

#include <map>
#include <string>

namespace cleave::cli {

void add_host_options(CLI::App& app, device::HostOptions& options, core::HostIndex host) {
  options.host = host;
  if (host == core::cloud_host)
    options.board = "server_xeon";
  app.add_option("--board", options.board,
                 "Board description (a name, or a .json file) that the modelled watts come from")
      ->capture_default_str();
  app.add_option("--threads", options.threads, "Levels of the thread knob, as 1,2")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--knob", options.knobs,
                 "One more knob of this machine, as devfreq:17000000.gpu, gpu_power, cpus "
                 "or command:nvpmodel:0,1:nvpmodel -m {level}; may be given several times")
      ->allow_extra_args(false);
  if (host == core::cloud_host)
    return;
  app.add_option("--emulate-share", options.emulate_share,
                 "Let this share of a CPU of this machine, per thread, stand for the whole board "
                 "at its highest frequency, and less for lower ones")
      ->check(CLI::Range(0.001, 1.0) & finite());
  options.emulate_by = device::Emulation::pace;
  app.add_option("--emulate-by", options.emulate_by,
                 "How the share is kept: pace (cleave sleeps after each part of the network; "
                 "steady, needs no rights) or quota (a control group's; what other programs under "
                 "a quota see)")
      ->transform(one_of<device::Emulation>(
          {{"pace", device::Emulation::pace}, {"quota", device::Emulation::quota}}))
      ->default_str("pace");
  app.add_option("--levels", options.levels,
                 "Use only these levels of the board: frequencies in MHz, or power modes by "
                 "label")
      ->delimiter(',');
  app.add_option("--radio", options.radio,
                 "The board's radio whose energy is counted (none: a wired link, not counted)");
}

core::Result<std::unique_ptr<device::Host>> open_host(
    const device::HostOptions& options, std::shared_ptr<const core::Executable> model) {
  return device::open_host(
      options, [model = std::move(model)](int threads) { return model->set_threads(threads); });
}

std::shared_ptr<const core::Executable> on_host(const device::Host& host,
                                                std::shared_ptr<const core::Executable> model) {
  return host.pace ? std::make_shared<exec::PacedExecutable>(std::move(model), host.pace)
                   : std::move(model);
}

}  // namespace cleave::cli
