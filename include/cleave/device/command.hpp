// What cleave has no driver for: an external meter and an accelerator's modes, by commands of the
// user's.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>
#include <cleave/device/sampling.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct CommandMeterOptions {
  enum class Prints : std::uint8_t {
    power,   ///< watts now: sampled
    energy,  ///< joules so far: a counter
  };
  std::string name = "command";  ///< the meter's
  /// For `sh -c`. Prints one number and, if it likes, its unit: W, mW, uW; J, mJ, uJ, Wh, kWh.
  /// Without one it is in watts or joules.
  std::string command;
  Prints prints = Prints::power;
  core::Seconds timeout = core::Seconds(5);  ///< of each run; then its process group is killed
  core::Seconds period = core::Seconds(1);   ///< between runs, for a power
  /// The least step of the figures that a counter prints.
  core::Joules resolution = core::Joules(1);
  core::Boundary boundary = core::Boundary::edge;
};

/// Errors: invalid_argument (no command, another kind of unit), corrupt (not a number), and those
/// of the command: timed_out, refused (its exit status), exhausted, io; each from every read, too.
CLEAVE_EXPORT core::Result<std::unique_ptr<Meter>> open_command_meter(
    CommandMeterOptions options, SamplingOptions sampling = {});

struct CommandGovernorOptions {
  std::string name;  ///< the knob's: "npu_mode", "nvpmodel"
  core::HostIndex host = core::edge_host;
  /// Words without an order, of letters, digits and any of _ . , : + = % / -, as they go into the
  /// command.
  std::vector<std::string> levels;
  /// For `sh -c`, with the level in place of each {level}: "nvpmodel -m {level}". Its exit status
  /// must be 0.
  std::string set;
  /// Prints the level that is set, as one word. Empty: nothing can be verified but the exit status,
  /// and `initial` must be given.
  std::string get;
  std::string initial;  ///< what restore() sets if `get` is empty; one of the levels
  core::Seconds timeout = core::Seconds(10);  ///< of each run
  std::filesystem::path state_dir;            ///< for the journal; empty: default_state_dir()
};

/// A knob that commands turn. What is found is noted in the journal as the command that sets it
/// again, so the next start undoes it after a kill -9. Not thread-safe.
class CLEAVE_EXPORT CommandGovernor final : public ForwardingGovernor {
 public:
  /// Runs `get`. Errors: invalid_argument (names, levels, no {level}, no initial level),
  /// those of the command, refused (`get` prints something that cannot be set again).
  /// Without `get` current() is what was applied last.
  static core::Result<std::unique_ptr<CommandGovernor>> open(CommandGovernorOptions options,
                                                             Machine machine = {});

 private:
  explicit CommandGovernor(std::unique_ptr<Governor> inner)
      : ForwardingGovernor(std::move(inner)) {}
};

}  // namespace cleave::inline v0::device
