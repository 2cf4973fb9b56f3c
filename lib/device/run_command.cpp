#include "lib/device/run_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

extern char** environ;

namespace cleave::inline v0::device {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t output_limit = std::size_t{64} << 10;

class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }
  void reset(int fd) {
    close();
    fd_ = fd;
  }
  void close() {
    if (fd_ >= 0)
      ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read, write;
  // Neither end is inherited but where posix_spawn is told so.
  bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
      return false;
    read.reset(ends[0]);
    write.reset(ends[1]);
    return ::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0;
  }
};

struct Output {
  Pipe pipe;
  std::string text;
  bool open = true;

  // Takes what is there. False if it is too much.
  bool take() {
    std::array<char, 4096> buffer{};
    while (true) {
      const ssize_t got = ::read(pipe.read.get(), buffer.data(), buffer.size());
      if (got > 0)
        text.append(buffer.data(), static_cast<std::size_t>(got));
      else if (got == 0)
        open = false;
      if (text.size() > output_limit)
        return false;
      if (got <= 0 && !(got < 0 && errno == EINTR))
        return true;
    }
  }
  [[nodiscard]] std::string trimmed() const {
    const auto end = text.find_last_not_of(" \t\r\n");
    return end == std::string::npos ? "" : text.substr(0, end + 1);
  }
};

int spawn(const std::string& command, const Output& out, const Output& err, pid_t& child) {
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, out.pipe.write.get(), 1);
  ::posix_spawn_file_actions_adddup2(&files, err.pipe.write.get(), 2);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // This program blocks signals that it waits for, and ignores some; the command must not.
  sigset_t none, usual;
  ::sigemptyset(&none);
  ::sigemptyset(&usual);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::sigaddset(&usual, signal);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(
      &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  std::string shell = "/bin/sh", option = "-c", text = command;
  std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
  const int error =
      ::posix_spawn(&child, shell.c_str(), &files, &attributes, arguments.data(), ::environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&files);
  return error;
}

enum class End : std::uint8_t { itself, late, babbled };

End watch(int ended, Output& out, Output& err, core::Seconds timeout) {
  const auto deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         std::chrono::duration<double>(std::clamp(timeout.count(), 0.0, 1e6)));
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0)
      return End::late;
    std::array<pollfd, 3> watched{{{ended, POLLIN, 0},
                                   {out.open ? out.pipe.read.get() : -1, POLLIN, 0},
                                   {err.open ? err.pipe.read.get() : -1, POLLIN, 0}}};
    if (::poll(watched.data(), watched.size(), static_cast<int>(left)) < 0)
      continue;  // EINTR
    if (!out.take() || !err.take())
      return End::babbled;
    if (watched[0].revents != 0)
      return End::itself;
  }
}

std::string last_line(const std::string& text) {
  const auto begin = text.rfind('\n');
  return text.substr(begin == std::string::npos ? 0 : begin + 1).substr(0, 200);
}

}  // namespace

core::Result<std::string> run_command(const std::string& command, core::Seconds timeout) {
  Output out, err;
  if (!out.pipe.open() || !err.pipe.open())
    return core::fail(core::Errc::io, std::string("cannot make a pipe: ") + std::strerror(errno),
                      command);
  pid_t child = -1;
  if (const int error = spawn(command, out, err, child); error != 0)
    return core::fail(core::Errc::io, std::string("cannot run it: ") + std::strerror(error),
                      command);
  out.pipe.write.close();
  err.pipe.write.close();
  const Descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  const int unwatched = ended.get() < 0 ? errno : 0;
  const End end = unwatched != 0 ? End::late : watch(ended.get(), out, err, timeout);
  // The child is not reaped yet, so its group still has this number.
  ::kill(-child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      return core::fail(core::Errc::io,
                        std::string("its exit status is lost: ") + std::strerror(errno), command);
  if (unwatched != 0)
    return core::fail(
        core::Errc::unsupported,
        std::string("this kernel cannot watch a process: ") + std::strerror(unwatched), command,
        "Linux 5.3 or newer is needed");
  if (end == End::babbled)
    return core::fail(core::Errc::exhausted, "it printed more than 64 KiB", command);
  if (end == End::late)
    return core::fail(core::Errc::timed_out,
                      "it did not end within " + std::to_string(timeout.count()) + " s", command,
                      "allow it more time, or see why it hangs");
  out.take();
  err.take();
  const std::string said = err.trimmed().empty() ? "" : ": " + last_line(err.trimmed());
  if (WIFSIGNALED(status))
    return core::fail(core::Errc::refused,
                      "it was ended by signal " + std::to_string(WTERMSIG(status)) + said, command);
  if (WEXITSTATUS(status) != 0)
    return core::fail(core::Errc::refused,
                      "it failed with exit status " + std::to_string(WEXITSTATUS(status)) + said,
                      command, WEXITSTATUS(status) == 127 ? "is the program installed?" : "");
  return out.trimmed();
}

}  // namespace cleave::inline v0::device
