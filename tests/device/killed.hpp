// A process that is killed in the middle of its work.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace cleave::device_tests {

/// Runs `work` in a child, kills it with SIGKILL when it says that it is done, and tells whether it
/// got that far.
template <class Work>
bool kill_after(Work&& work) {
  int ready[2];
  if (::pipe(ready) != 0)
    return false;
  const pid_t child = ::fork();
  if (child == 0) {
    const char done = work() ? '1' : '0';
    if (::write(ready[1], &done, 1) != 1)
      ::_exit(1);
    while (true) ::pause();
  }
  ::close(ready[1]);
  char done = '0';
  const bool told = ::read(ready[0], &done, 1) == 1;
  ::close(ready[0]);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  return told && done == '1';
}

}  // namespace cleave::device_tests
