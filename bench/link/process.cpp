#include "bench/link/process.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <stdexcept>

extern char** environ;

namespace bench_link {

Process::Process(const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) name_ += (name_.empty() ? "" : " ") + argument;
  std::array<int, 2> in{}, out{};
  if (::pipe2(in.data(), O_CLOEXEC) != 0 || ::pipe2(out.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int error = ::posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ::close(in[0]);
  ::close(out[1]);
  to_ = ::fdopen(in[1], "w");
  from_ = ::fdopen(out[0], "r");
  if (error != 0) {
    std::fclose(to_);
    std::fclose(from_);
    throw std::runtime_error(name_ + ": " + std::strerror(error));
  }
}

Process::~Process() {
  std::fclose(to_);
  std::fclose(from_);
  ::waitpid(pid_, nullptr, 0);
}

std::string Process::ask(const std::string& line) {
  if (std::fprintf(to_, "%s\n", line.c_str()) < 0 || std::fflush(to_) != 0)
    throw std::runtime_error(name_ + ": has ended");
  return listen();
}

std::string Process::listen() {
  std::string line;
  for (int c = 0; (c = std::fgetc(from_)) != '\n';) {
    if (c == EOF)
      throw std::runtime_error(name_ + ": has ended");
    line += static_cast<char>(c);
  }
  if (line.starts_with("error"))
    throw std::runtime_error(name_ + ": " + line);
  return line;
}

}  // namespace bench_link
