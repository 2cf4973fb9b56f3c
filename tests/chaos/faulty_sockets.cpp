#include "tests/chaos/faulty_sockets.hpp"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <vector>

namespace cleave::tests {
namespace {

std::mutex mutex;
std::uint64_t done = 0, armed_at = 0;
Fault armed = Fault::none;
std::set<ino_t> stalled;  // a descriptor's number is used again, a socket's inode is not soon

template <class F>
F real(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

ino_t inode_of(int fd) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 ? status.st_ino : 0;
}

std::size_t length_of(const msghdr& message) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < message.msg_iovlen; ++i) length += message.msg_iov[i].iov_len;
  return length;
}

// The first `length` bytes of a message's buffers.
std::vector<iovec> first(const msghdr& message, std::size_t length) {
  std::vector<iovec> buffers;
  for (std::size_t i = 0; i < message.msg_iovlen && length > 0; ++i) {
    buffers.push_back(message.msg_iov[i]);
    buffers.back().iov_len = std::min(length, buffers.back().iov_len);
    length -= buffers.back().iov_len;
  }
  return buffers;
}

// What happens to this operation. Only those that move bytes count, so that which one is the n-th
// does not depend on how often somebody looks in vain.
Fault fate(int fd) {
  const std::lock_guard lock(mutex);
  if (!stalled.empty() && stalled.contains(inode_of(fd)))
    return Fault::stalled;
  if (armed == Fault::none || done + 1 != armed_at) {
    return Fault::none;
  }
  return armed;
}

void count(int fd, Fault happened) {
  const std::lock_guard lock(mutex);
  if (happened == Fault::stalled && !stalled.insert(inode_of(fd)).second)
    return;
  ++done;
  if (happened != Fault::none)
    armed = Fault::none;
}

ssize_t refuse(int fd, Fault fault) {
  count(fd, fault);
  if (fault == Fault::broken)
    ::shutdown(fd, SHUT_RDWR);
  errno = fault == Fault::broken ? ECONNRESET : EAGAIN;
  return -1;
}

bool readable(int fd) {
  char byte = 0;
  static const auto peek = real<ssize_t (*)(int, void*, std::size_t, int)>("recv");
  return peek(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

ssize_t receive(int fd, msghdr* message, int flags) {
  static const auto function = real<ssize_t (*)(int, msghdr*, int)>("recvmsg");
  if ((flags & MSG_PEEK) != 0 || !readable(fd))
    return function(fd, message, flags);
  const Fault fault = fate(fd);
  if (fault == Fault::broken || fault == Fault::stalled)
    return refuse(fd, fault);
  msghdr changed = *message;
  std::vector<iovec> buffers = first(*message, fault == Fault::shortened ? 1 : length_of(*message));
  changed.msg_iov = buffers.data();
  changed.msg_iovlen = buffers.size();
  const ssize_t got = function(fd, &changed, flags);
  if (got >= 0)
    count(fd, fault);
  if (got > 0 && fault == Fault::corrupted) {
    auto at = static_cast<std::size_t>(got) / 2;
    for (const iovec& buffer : buffers) {
      if (at < buffer.iov_len) {
        static_cast<char*>(buffer.iov_base)[at] ^= 4;
        break;
      }
      at -= buffer.iov_len;
    }
  }
  return got;
}

ssize_t transmit(int fd, const msghdr* message, int flags) {
  static const auto function = real<ssize_t (*)(int, const msghdr*, int)>("sendmsg");
  const Fault fault = fate(fd);
  if (fault == Fault::broken || fault == Fault::stalled)
    return refuse(fd, fault);
  const std::size_t length = fault == Fault::shortened ? 1 : length_of(*message);
  std::vector<char> copy;
  if (fault == Fault::corrupted) {
    for (const iovec& buffer : first(*message, length))
      copy.insert(copy.end(), static_cast<char*>(buffer.iov_base),
                  static_cast<char*>(buffer.iov_base) + buffer.iov_len);
    if (!copy.empty())
      copy[copy.size() / 2] ^= 4;
  }
  std::vector<iovec> buffers =
      copy.empty() ? first(*message, length) : std::vector<iovec>{{copy.data(), copy.size()}};
  msghdr changed = *message;
  changed.msg_iov = buffers.data();
  changed.msg_iovlen = buffers.size();
  const ssize_t sent = function(fd, &changed, flags);
  if (sent >= 0)
    count(fd, fault);
  return sent;
}

}  // namespace

void fault_at(std::uint64_t n, Fault fault) {
  const std::lock_guard lock(mutex);
  done = 0;
  armed_at = n;
  armed = fault;
  stalled.clear();
}

std::uint64_t operations() {
  const std::lock_guard lock(mutex);
  return done;
}

}  // namespace cleave::tests

extern "C" {

ssize_t recvmsg(int fd, msghdr* message, int flags) {
  return cleave::tests::receive(fd, message, flags);
}

ssize_t recv(int fd, void* data, std::size_t size, int flags) {
  iovec buffer{data, size};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  return cleave::tests::receive(fd, &message, flags);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  return cleave::tests::transmit(fd, message, flags);
}

ssize_t send(int fd, const void* data, std::size_t size, int flags) {
  iovec buffer{const_cast<void*>(data), size};
  msghdr message{};
  message.msg_iov = &buffer;
  message.msg_iovlen = 1;
  return cleave::tests::transmit(fd, &message, flags);
}
}
