// The owner of a file descriptor; not installed.
#pragma once

#include <unistd.h>

#include <utility>

namespace cleave::inline v0::core {

/// Closes what it holds; negative: nothing.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  ~Descriptor() { close(); }
  Descriptor& operator=(Descriptor&&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  void close() {
    if (const int fd = release(); fd >= 0)
      ::close(fd);
  }

 private:
  int fd_;
};

}  // namespace cleave::inline v0::core
