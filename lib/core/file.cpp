#include "lib/core/descriptor.hpp"

#include <cleave/core/file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cleave::inline v0::core {
namespace {

// The Errc and the words for an errno.
tl::unexpected<Error> fail_errno(int error, std::string_view doing, const std::string& where) {
  Errc code = Errc::io;
  std::string hint;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fail(Errc::not_found, std::string(doing) + ": no such file or directory", where,
                  "check the path");
    case EACCES:
    case EPERM:
    case EROFS:
      code = Errc::permission_denied;
      hint = "check the permissions";
      break;
    case ENOSPC:
    case EDQUOT:
      hint = "free some space";
      break;
    default:
      break;
  }
  return fail(code, std::string(doing) + ": " + std::strerror(error), where, hint);
}

template <class Buffer>
Result<Buffer> read_into(const std::filesystem::path& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0)
    return fail_errno(errno, "cannot read", path.string());
  struct stat info {};
  if (::fstat(file.get(), &info) != 0)
    return fail_errno(errno, "cannot read", path.string());
  if (!S_ISREG(info.st_mode))
    return fail(Errc::invalid_argument, "not a regular file", path.string());
  Buffer bytes;
  std::size_t used = 0;
  // sysfs and procfs files say size 0 or 4096 whatever they hold, so read to the end.
  bytes.resize(std::min<std::size_t>(static_cast<std::size_t>(info.st_size) + 1, limit + 1));
  while (true) {
    if (used == bytes.size()) {
      if (used > limit)
        break;
      bytes.resize(std::min(std::max<std::size_t>(2 * used, 4096), limit + 1));
    }
    const ssize_t got = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (got < 0) {
      if (errno == EINTR)
        continue;
      return fail_errno(errno, "cannot read", path.string());
    }
    if (got == 0)
      break;
    used += static_cast<std::size_t>(got);
  }
  if (used > limit)
    return fail(Errc::exhausted,
                "the file is larger than the limit of " + std::to_string(limit) + " bytes",
                path.string());
  bytes.resize(used);
  return bytes;
}

}  // namespace

Result<std::vector<std::byte>> read_file(const std::filesystem::path& path, std::size_t limit) {
  return read_into<std::vector<std::byte>>(path, limit);
}

Result<std::string> read_text(const std::filesystem::path& path, std::size_t limit) {
  return read_into<std::string>(path, limit);
}

Result<void> write_file(const std::filesystem::path& path, std::span<const std::byte> bytes,
                        Readers readers) {
  // A special file (/dev/stdout, a pipe) cannot be replaced; it is written to.
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode))
    return fail(Errc::invalid_argument, "is a directory", path.string());
  const bool special = ::stat(path.c_str(), &info) == 0 && !S_ISREG(info.st_mode);
  std::string beside = path.string();
  int fd = -1;
  if (special) {
    fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    beside += ".XXXXXX";
    fd = ::mkostemp(beside.data(), O_CLOEXEC);
  }
  if (fd < 0)
    return fail_errno(errno, "cannot write", path.string());
  Descriptor file(fd);
  int error = 0;
  for (std::size_t done = 0; done < bytes.size() && error == 0;) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    if (n >= 0)
      done += static_cast<std::size_t>(n);
    else if (errno != EINTR)
      error = errno;
  }
  if (special) {
    if (error != 0)
      return fail_errno(error, "cannot write", path.string());
    return {};
  }
  if (error == 0) {
    // mkostemp gives 0600; a new file gets what the umask allows, a replaced one keeps its mode.
    const mode_t mask = ::umask(0);
    ::umask(mask);
    const mode_t mode = ::stat(path.c_str(), &info) == 0 ? (info.st_mode & 07777) : (0666 & ~mask);
    if ((readers == Readers::usual && ::fchmod(fd, mode) != 0) || ::fsync(fd) != 0)
      error = errno;
  }
  if (::close(file.release()) != 0 && error == 0)
    error = errno;
  if (error == 0 && ::rename(beside.c_str(), path.c_str()) != 0)
    error = errno;
  if (error != 0) {
    ::unlink(beside.c_str());
    return fail_errno(error, "cannot write", path.string());
  }
  return {};
}

Result<void> write_file(const std::filesystem::path& path, std::string_view text, Readers readers) {
  return write_file(path, std::as_bytes(std::span(text.data(), text.size())), readers);
}

}  // namespace cleave::inline v0::core
