// Knobs by the descriptions that people write on a command line.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct KnobOptions {
  core::HostIndex host = core::edge_host;
  std::filesystem::path state_dir;  ///< for the journals; empty: default_state_dir()
};

/// One knob of this machine:
/// - "cpufreq" or "cpufreq:policy4": a CPU's clock; without a name the machine's first policy;
/// - "devfreq:17000000.gpu": the clock of a GPU, memory or bus; the name may be left out where
/// there
///   is one device;
/// - "cpus": the kinds of CPU; "cpus:0-3/4-7": these sets of CPUs, each a level named as written;
/// - "gpu_clock", "gpu_clock:1", "gpu_power", "gpu_power:1": an NVIDIA GPU's clock and power limit;
/// - "command:NAME:LEVEL,LEVEL:SET => GET": a mode that a command sets, {level} in SET standing for
///   the level; GET prints the level that is set. Without " => GET" one level is written LEVEL@ and
///   is put back in the end.
/// The first four may end in "=LEVEL,LEVEL", which keeps only these levels: by label ("1500 MHz",
/// "big"), or by the number in it ("1500"). Errors: invalid_argument (no such kind, not as written
/// above, no such level; says which there are), not_found and unsupported (the machine has no such
/// thing; says which it has), and those of the governors.
CLEAVE_EXPORT core::Result<std::unique_ptr<Governor>> open_governor(const std::string& description,
                                                                    const KnobOptions& options = {},
                                                                    const Machine& machine = {});

/// The knob with some of its levels only, in its own order. A level is named by its label or the
/// number at its beginning. Errors: invalid_argument (no such level, named twice, none).
CLEAVE_EXPORT core::Result<std::unique_ptr<Governor>> keep_levels(
    std::unique_ptr<Governor> governor, const std::vector<std::string>& wanted);

}  // namespace cleave::inline v0::device
