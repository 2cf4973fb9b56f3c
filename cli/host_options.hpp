// The options that say what hardware a host is, or stands for, and which knobs it has.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/device/host.hpp>

#include <CLI/CLI.hpp>

#include <memory>

namespace cleave::cli {

/// --board, --threads and --knob; for the edge also --emulate-share, --emulate-by, --levels and
/// --radio.
void add_host_options(CLI::App& app, device::HostOptions& options, core::HostIndex host);

/// The thread knob sets the model's threads.
core::Result<std::unique_ptr<device::Host>> open_host(
    const device::HostOptions& options, std::shared_ptr<const core::Executable> model);

/// The model as it runs on the host: paced, where the host's emulation asks for that.
std::shared_ptr<const core::Executable> on_host(const device::Host& host,
                                                std::shared_ptr<const core::Executable> model);

}  // namespace cleave::cli
