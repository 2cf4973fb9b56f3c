// The options that say what hardware a host is, or stands for, and which knobs it has.
#pragma once

#include <CLI/CLI.hpp>
#include <cleave/core/backend.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/board.hpp>
#include <cleave/device/cpu_share.hpp>
#include <cleave/profiler/host.hpp>
#include <memory>
#include <string>
#include <vector>

namespace cleave::cli {

struct HostOptions {
  std::string board;
  double emulate_share = 0;         ///< 0: this machine is what it is
  std::vector<std::string> levels;  ///< of the board, by label or MHz; empty: all
  std::string threads = "1";
  std::string radio;
};

/// --board, --emulate-share, --levels, --threads and, for the edge, --radio.
void add_host_options(CLI::App& app, HostOptions& options, core::HostIndex host);

/// A host's knobs, ready to be leased, and the watts they stand for.
struct Host {
  device::Board board;
  std::unique_ptr<device::Arbiter> arbiter;
  profiler::PowerOf power;
  const device::Radio* radio = nullptr;  ///< of `board`
  bool quota = false;                    ///< a CPU quota is among the knobs
};

/// Opens the knobs. The thread knob sets the model's threads on the thread that leases it.
/// `model` must outlive the host.
core::Result<std::unique_ptr<Host>> open_host(const HostOptions& options, core::HostIndex host,
                                              const core::Executable& model);

}  // namespace cleave::cli
