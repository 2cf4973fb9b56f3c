#include "cli/common.hpp"

#include "cli/finite.hpp"

#include <cleave/core/version.hpp>

#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <mutex>

namespace cleave::cli {
namespace {

constexpr std::array all_commands{
    Command{"inspect", "Show a model's steps and the cuts where it can be split", true},
    Command{"verify", "Check a model cut in two against the whole, and against saved outputs",
            true},
    Command{"codecs", "Compare codecs at each cut of a model: bytes, times, answers", true},
    Command{"profile", "Measure a model on the edge, in the cloud and over the link", true},
    Command{"optimize", "Search a profile or observations for the configurations worth keeping",
            false},
    Command{"serve", "Run the cloud's side: serve the tails of models", true},
    Command{"push", "Bring a model file to a cloud that takes some", true},
    Command{"run", "Run requests on the edge under a scheduling policy", true},
    Command{"replay", "Compare scheduling policies on observed runs", false},
    Command{"workload", "Make a file of requests with deadlines", false},
    Command{"report", "Make an HTML or terminal report of profiles, tables and runs", false},
    Command{"doctor", "Tell what this machine has and lacks, and what to do about it", false},
    Command{"calibrate", "Fit a board description from a meter of this machine", false},
    Command{"link", "Emulate a slow and faulty link between edge and cloud", false},
    Command{"cert", "Make certificates for TLS: an authority, servers, clients", false},
    Command{"token", "Make the secret by which a client is let in", false},
    Command{"zoo", "Build well-known networks as TorchScript files", true},
};

class StderrLog final : public core::LogSink {
 public:
  explicit StderrLog(core::Severity least) : least_(least) {}

  void log(core::Severity severity, std::string_view component, std::string_view message) override {
    if (severity < least_)
      return;
    static constexpr std::array<std::string_view, 4> names{"debug", "info", "warning", "error"};
    const std::lock_guard lock(mutex_);
    std::cerr << "cleave: " << names.at(static_cast<std::size_t>(severity)) << ": " << component
              << ": " << message << '\n';
  }

 private:
  core::Severity least_;
  std::mutex mutex_;
};

}  // namespace

std::span<const Command> commands() {
  return all_commands;
}

std::string summary_of(std::string_view name) {
  for (const Command& command : all_commands)
    if (command.name == name)
      return std::string(command.summary);
  return {};
}

ExitCode exit_code_of(const core::Error& error) {
  using core::Errc;
  switch (error.code) {
    case Errc::not_found:
    case Errc::corrupt:
    case Errc::version:
    case Errc::mismatch:
      return bad_input;
    case Errc::invalid_argument:
      return usage;
    case Errc::permission_denied:
      return not_allowed;
    case Errc::unavailable:
    case Errc::timed_out:
    case Errc::refused:
    case Errc::in_use:
      return unreachable;
    case Errc::cancelled:
      return interrupted;
    case Errc::io:
    case Errc::unsupported:
    case Errc::exhausted:
    case Errc::internal:
      return failed;
  }
  return failed;
}

namespace {

// Whether the other end of a pipe was closed, as `head` does when it has seen enough.
bool reader_has_gone(int descriptor) {
  pollfd polled{descriptor, POLLOUT, 0};
  return ::poll(&polled, 1, 0) == 1 && (polled.revents & POLLERR) != 0;
}

void check_unsigned(CLI::App& app) {
  for (CLI::Option* option : app.get_options())
    if (option->get_type_name().starts_with("UINT"))
      option->check(whole_number());
  for (CLI::App* sub : app.get_subcommands({})) check_unsigned(*sub);
}

}  // namespace

int print_error(const core::Error& error) {
  std::string line = error.message();
  for (char& c : line)
    if (c == '\n' || c == '\r')
      c = ' ';
  std::cerr << "cleave: " << line << '\n';
  return exit_code_of(error);
}

void add_json_flag(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "Print JSON for programs instead of text");
}

int run_app(CLI::App& app, int argc, char** argv, const int& result) {
  try {
    check_unsigned(app);
    app.parse(argc, argv);
    std::cout.flush();
    if (!std::cout && !reader_has_gone(STDOUT_FILENO)) {
      std::cerr << "cleave: standard output: cannot write (is the disk full?)\n";
      return failed;
    }
    return result;
  } catch (const CLI::Success& done) {  // --help, --version
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    std::cerr << "cleave: " << error.what() << " (try --help)\n";
    return usage;
  } catch (const std::bad_alloc&) {
    std::cerr << "cleave: out of memory\n";
    return failed;
  } catch (const std::exception& error) {
    return print_error({core::Errc::internal, error.what(), "", "this is a fault of cleave"});
  }
}

std::unique_ptr<core::LogSink> stderr_log(core::Severity least) {
  return std::make_unique<StderrLog>(least);
}

void prepare_process() {
  // A peer or pager that went away is an error value here, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
}

bool set_openmp_waiting() {
  if (::getenv("OMP_WAIT_POLICY") != nullptr || ::getenv("GOMP_SPINCOUNT") != nullptr)
    return false;
  // By default libgomp's threads spin for milliseconds at barriers: with one other busy process on
  // a small machine a pass takes several times as long. Not to spin at all costs a wake-up for each
  // step, a third of the time of a small network. Some ten microseconds bridge the gap between two
  // steps (bench/peers/compare.py --calm).
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::setenv("GOMP_SPINCOUNT", "5000", 1);
  return true;
}

void locate_data(std::string_view relative_to_program) {
  std::error_code error;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error)
    return;
  const auto data = program.parent_path() / relative_to_program;
  if (std::filesystem::is_directory(data, error))
    ::setenv("CLEAVE_DATA_DIR", data.lexically_normal().c_str(), 0);
}

}  // namespace cleave::cli
