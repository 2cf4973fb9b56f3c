// A server in a process of its own that a test may kill, and what a process holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cleave::tests {

class Child {
 public:
  /// Starts the program with a port (0: any free one) and waits until it says which it has.
  Child(const std::string& program, std::uint16_t port);
  /// kill().
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] int pid() const { return pid_; }
  [[nodiscard]] bool alive() const;
  /// SIGKILL, and waits until it is gone.
  void kill();

 private:
  int pid_ = -1;
  int stdin_ = -1;
  std::uint16_t port_ = 0;
};

/// Of the process `pid`; 0: this one.
std::size_t open_descriptors(int pid);
/// Bytes of memory that are resident.
std::size_t resident_bytes(int pid);

}  // namespace cleave::tests
