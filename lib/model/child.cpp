// A model file opened in a process of its own, which may crash, hang or run out of memory there.
#include "lib/core/descriptor.hpp"
#include "lib/model/trust.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

extern char** environ;

namespace cleave::inline v0::model {

namespace fs = std::filesystem;
using core::Descriptor;
using core::Errc;
using core::fail;
using core::Result;

namespace {

using Clock = std::chrono::steady_clock;
constexpr int exec_failed = 127;
constexpr std::size_t longest_verdict = std::size_t{1} << 16;
constexpr const char* hostile_hint =
    "the file is damaged or hostile, or this libtorch has a fault; do not trust it";

// Above the four that the child puts in place, so that dup2() never meets one of them.
Descriptor lifted(int fd) {
  return Descriptor(::fcntl(fd, F_DUPFD_CLOEXEC, 16));
}

Result<fs::path> find_checker(const TrustOptions& options) {
  std::error_code error;
  if (!options.checker.empty())
    return options.checker;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const fs::path& candidate : {folder / "cleave-torch", folder / CLEAVE_BIN_TO_CHECKER})
    if (!folder.empty() && fs::exists(candidate, error))
      return candidate;
  return fail(Errc::not_found, "there is no program to check untrusted models with", "cleave-torch",
              "name it in TrustOptions::checker, or add the file to the trusted list");
}

rlim_t address_space(const TrustOptions& options) {
  if (options.memory.count() > 0)
    return static_cast<rlim_t>(options.memory.count());
  const double installed = static_cast<double>(::sysconf(_SC_PHYS_PAGES)) *
                           static_cast<double>(::sysconf(_SC_PAGE_SIZE));
  return static_cast<rlim_t>(std::max(installed, 4.0 * (1U << 30)));
}

// What the child needs, made before fork(): after it only async-signal-safe calls are allowed, as
// other threads of this process may hold any lock.
struct Start {
  std::vector<char*> arguments, environment;
  int file = -1, out = -1, null = -1;
  rlim_t memory = 0, seconds = 0;
};

void limit(int resource, rlim_t value) {
  struct rlimit now {};
  if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &now) != 0)
    return;
  now.rlim_max = std::min(now.rlim_max, value);
  now.rlim_cur = std::min(now.rlim_max, value);
  ::setrlimit(static_cast<__rlimit_resource_t>(resource), &now);
}

[[noreturn]] void become_checker(const Start& start) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  // No network, where the kernel lets this user have a namespace. Root needs none of its own users,
  // and would lose its right to read others' files with one.
  ::unshare(::geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET);
  // If memory runs out, the child is the one to go.
  if (const int score = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); score >= 0) {
    [[maybe_unused]] const ssize_t written = ::write(score, "1000", 4);
    ::close(score);
  }
  limit(RLIMIT_AS, start.memory);
  limit(RLIMIT_CPU, start.seconds);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_FSIZE, 0);
  limit(RLIMIT_NOFILE, 256);
  if (::dup2(start.null, 0) < 0 || ::dup2(start.out, 1) < 0 || ::dup2(start.null, 2) < 0 ||
      ::dup2(start.file, 3) < 0)
    ::_exit(exec_failed);
  ::syscall(SYS_close_range, 4U, ~0U, 0U);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGXCPU, SIGXFSZ}) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(start.arguments[0], start.arguments.data(), start.environment.data());
  ::_exit(exec_failed);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> environment() {
  std::vector<std::string> result = {"OMP_NUM_THREADS=1", "OMP_WAIT_POLICY=passive"};
  for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("OMP_"))
      result.emplace_back(*entry);
  return result;
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return -1;  // somebody else reaps this process's children
  return status;
}

struct Outcome {
  std::string said;
  int status = 0;
  bool late = false, babbled = false;
};

enum class Read : std::uint8_t { some, nothing_yet, end };

Read read_some(int from, std::string& into) {
  std::array<char, 4096> buffer{};
  const ssize_t got = ::read(from, buffer.data(), buffer.size());
  if (got > 0)
    into.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0                                          ? Read::some
         : got < 0 && (errno == EAGAIN || errno == EINTR) ? Read::nothing_yet
                                                          : Read::end;
}

// Reads what the child says until it ends or its time is up; then it is gone.
Result<Outcome> watch(pid_t child, int out, core::Seconds time, const std::string& where) {
  const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(std::min(time.count(), 1e6)));
  Outcome outcome;
  bool open = true, running = ended.get() >= 0;
  const int no_watch = running ? 0 : errno;
  while (running && !outcome.babbled) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) {
      outcome.late = true;
      break;
    }
    std::array<pollfd, 2> watched{{{ended.get(), POLLIN, 0}, {open ? out : -1, POLLIN, 0}}};
    if (::poll(watched.data(), watched.size(), static_cast<int>(left)) < 0 && errno != EINTR)
      break;
    running = watched[0].revents == 0;
    if (open && watched[1].revents != 0)
      open = read_some(out, outcome.said) != Read::end;
    outcome.babbled = outcome.said.size() > longest_verdict;
  }
  if (running || ended.get() < 0)
    ::kill(child, SIGKILL);
  outcome.status = wait_for(child);
  while (!outcome.babbled && read_some(out, outcome.said) == Read::some)
    outcome.babbled = outcome.said.size() > longest_verdict;
  if (ended.get() < 0)
    return fail(Errc::unsupported,
                std::string("this kernel cannot watch a child process: ") + std::strerror(no_watch),
                where);
  return outcome;
}

Result<void> judge(const Outcome& outcome, const TrustOptions& options, const std::string& where) {
  if (outcome.babbled)
    return parse_verdict({}, where);
  const int status = outcome.status;
  const std::string seconds = std::to_string(std::lround(options.time.count()));
  if (outcome.late || (status > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
    return fail(Errc::exhausted,
                "a child process took longer than " + seconds + " s to open the file", where,
                "it may be hostile, or large: see the limits for untrusted files");
  if (status > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
    return fail(Errc::exhausted,
                "the child process that opened the file was killed, probably for want of memory",
                where, hostile_hint);
  if (status > 0 && WIFSIGNALED(status))
    return fail(Errc::corrupt,
                "the child process that opened the file crashed (" +
                    std::string(::strsignal(WTERMSIG(status))) + ")",
                where, hostile_hint);
  if (status > 0 && WIFEXITED(status) && WEXITSTATUS(status) == exec_failed)
    return fail(Errc::not_found, "the program that checks untrusted models cannot be run", where,
                "check TrustOptions::checker");
  if (outcome.said.empty())
    return fail(Errc::corrupt,
                "the child process that opened the file ended without a word (exit code " +
                    std::to_string(WEXITSTATUS(status)) + ")",
                where, hostile_hint);
  if (status > 0 && WEXITSTATUS(status) != 0)
    return parse_verdict({}, where);
  return parse_verdict(outcome.said, where);
}

}  // namespace

std::string verdict_of(const Result<void>& checked) {
  if (checked)
    return "ok\n";
  std::string line = "error " + std::string(core::to_string(checked.error().code));
  for (const std::string* text :
       {&checked.error().what, &checked.error().where, &checked.error().hint}) {
    line += '\t';
    for (const char c : *text) line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return line + '\n';
}

Result<void> parse_verdict(std::string_view line, const std::string& where) {
  const auto unreadable = [&] {
    return fail(Errc::corrupt, "the child process that opened the file ended without a verdict",
                where, hostile_hint);
  };
  if (line == "ok\n")
    return {};
  constexpr std::string_view error = "error ";
  if (!line.starts_with(error) || !line.ends_with('\n'))
    return unreadable();
  line = line.substr(error.size(), line.size() - error.size() - 1);
  std::array<std::string, 4> parts;  // code, what, where, hint
  for (std::string& part : parts) {
    const std::size_t end = std::min(line.find('\t'), line.size());
    part = line.substr(0, end);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  for (int code = 0; code <= static_cast<int>(Errc::internal); ++code)
    if (core::to_string(static_cast<Errc>(code)) == parts[0])
      return fail(static_cast<Errc>(code), parts[1],
                  parts[2].empty() || parts[2].starts_with("/proc/") ? where : parts[2], parts[3]);
  return unreadable();
}

Result<void> try_in_child(const FileSource& file, const fs::path& path, const LoadOptions& load) {
  const TrustOptions& options = load.trust;
  const std::string where = path.string();
  const auto checker = find_checker(options);
  if (!checker)
    return fail(checker);
  std::vector<std::string> arguments = {checker->string(), "check-model", "/proc/self/fd/3", where};
  for (const InputSpec& input : load.inputs)
    arguments.insert(arguments.end(), {"--input", to_string(input)});
  for (const fs::path& library : load.op_libraries)
    arguments.insert(arguments.end(), {"--op-library", library.string()});
  std::vector<std::string> variables = environment();

  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return fail(Errc::io, std::string("cannot make a pipe: ") + std::strerror(errno), where);
  const Descriptor out(ends[0]);
  Descriptor in(ends[1]);
  const Descriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const Descriptor child_file = lifted(file.fd()), child_out = lifted(in.get()),
                   child_null = lifted(null.get());
  in.close();
  if (child_file.get() < 0 || child_out.get() < 0 || child_null.get() < 0 ||
      ::fcntl(out.get(), F_SETFL, O_NONBLOCK) != 0)
    return fail(Errc::io, std::string("cannot open a descriptor: ") + std::strerror(errno), where);
  Start start{pointers(arguments),
              pointers(variables),
              child_file.get(),
              child_out.get(),
              child_null.get(),
              address_space(options),
              static_cast<rlim_t>(std::ceil(std::clamp(options.time.count(), 1.0, 1e6)))};
  const pid_t child = ::fork();
  if (child < 0)
    return fail(Errc::exhausted, std::string("cannot start a process: ") + std::strerror(errno),
                where);
  if (child == 0)
    become_checker(start);
  const auto outcome = watch(child, out.get(), options.time, where);
  if (!outcome)
    return fail(outcome);
  return judge(*outcome, options, where);
}

Result<void> admit(const FileSource& file, const fs::path& path, const LoadOptions& load) {
  const TrustOptions& options = load.trust;
  const std::string where = path.string();
  if (options.untrusted == Untrusted::load)
    return {};
  const bool must_be_listed = options.untrusted == Untrusted::refuse;
  fs::path list_path = options.list;
  if (list_path.empty()) {
    auto usual = default_trusted_list();
    // Where no list can be kept a child opens the file every time.
    if (!usual)
      return must_be_listed ? Result<void>(fail(usual)) : try_in_child(file, path, load);
    list_path = std::move(*usual);
  }
  const TrustedList list(list_path);
  const auto fingerprint = file_fingerprint(file, where);
  if (!fingerprint)
    return fail(fingerprint);
  const auto trusted = list.contains(*fingerprint);
  if (!trusted && (must_be_listed || trusted.error().code != Errc::permission_denied))
    return fail(trusted);
  if (trusted.value_or(false))
    return {};
  if (must_be_listed)
    return fail(Errc::permission_denied,
                "the model is not on the trusted list " + list_path.string(), where,
                "if you know where it comes from, add it with --trust");
  if (auto tried = try_in_child(file, path, load); !tried)
    return tried;
  // The verdict stands even where it cannot be written down.
  const auto added = list.add(*fingerprint, TrustedList::How::checked, path.filename().string());
  return added || added.error().code != Errc::corrupt ? Result<void>() : added;
}

}  // namespace cleave::inline v0::model
