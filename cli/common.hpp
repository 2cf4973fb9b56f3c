// What every subcommand shares: exit codes, how errors are printed, where cleave's files are.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>

#include <CLI/CLI.hpp>

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace cleave::cli {

/// Documented in docs/cli.md and `cleave --help`.
enum ExitCode : int {
  success = 0,
  failed = 1,       ///< the operation failed
  usage = 2,        ///< the command line is wrong
  bad_input = 3,    ///< a file is missing, corrupt, too new, or belongs to another model
  unreachable = 4,  ///< the cloud, link or port is not there, taken, or refuses
  not_allowed = 5,  ///< the operating system said no
  differs = 6,      ///< verify, profile --validate: a difference is larger than allowed
  interrupted = 130,
};

ExitCode exit_code_of(const core::Error& error);

/// Prints "cleave: where: what (hint)" on standard error, in one line, and gives the exit code.
int print_error(const core::Error& error);

/// One subcommand: `add` declares its options on the app, and sets `run` to what happens after
/// parsing; run's value is the exit code.
struct Command {
  std::string_view name;
  std::string_view summary;
  bool torch = false;  ///< lives in the executable that links libtorch
};

/// All subcommands, in the order of the help.
std::span<const Command> commands();
/// The summary of a subcommand in commands().
std::string summary_of(std::string_view name);

/// Adds the flag --json to an app.
void add_json_flag(CLI::App& app, bool& json);

/// Parses, runs and turns errors into exit codes: the body of both main()s.
int run_app(CLI::App& app, int argc, char** argv, const int& result);

/// A log that writes lines to standard error from `least` up.
std::unique_ptr<core::LogSink> stderr_log(core::Severity least);

/// What every program of cleave does first: ignores SIGPIPE.
void prepare_process();

/// Sets how libgomp's threads wait, where the user has not, and tells whether it did: libgomp reads
/// that when it is loaded.
bool set_openmp_waiting();

/// Sets CLEAVE_DATA_DIR for this process where the user has not, from where the program lies.
void locate_data(std::string_view relative_to_program);

}  // namespace cleave::cli
