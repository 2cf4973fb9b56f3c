#include "tests/chaos/child.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

extern char** environ;

namespace cleave::tests {
namespace {

std::string folder_of(int pid) {
  return "/proc/" + (pid == 0 ? std::string("self") : std::to_string(pid));
}

}  // namespace

Child::Child(const std::string& program, std::uint16_t port) {
  std::array<int, 2> in{}, out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)
    throw std::runtime_error("no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  // Asio's sockets would outlive us there: they are not closed by exec.
  posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
  std::string name = program, number = std::to_string(port);
  std::array<char*, 3> arguments{name.data(), number.data(), nullptr};
  const int error =
      ::posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  stdin_ = in[1];
  std::string said;
  char byte = 0;
  while (error == 0 && ::read(out[0], &byte, 1) == 1 && byte != '\n') said += byte;
  ::close(out[0]);
  port_ = static_cast<std::uint16_t>(std::atoi(said.c_str()));
  if (port_ == 0) {
    if (error != 0)
      pid_ = -1;
    kill();
    throw std::runtime_error("the server did not start: " + program);
  }
}

Child::~Child() {
  kill();
}

bool Child::alive() const {
  return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0;
}

void Child::kill() {
  if (stdin_ >= 0)
    ::close(stdin_);
  stdin_ = -1;
  if (pid_ <= 0)
    return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::size_t open_descriptors(int pid) {
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of(pid) + "/fd")) {
    (void)entry;
    ++count;
  }
  return count;
}

std::size_t resident_bytes(int pid) {
  std::ifstream statm(folder_of(pid) + "/statm");
  std::size_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace cleave::tests
