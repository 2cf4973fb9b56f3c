#include "lib/model/byte_source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cleave::inline v0::model {

using core::Errc;
using core::fail;

bool MemorySource::read(std::uint64_t offset, std::span<std::byte> into) const {
  if (offset > bytes_.size() || into.size() > bytes_.size() - offset)
    return false;
  if (!into.empty())
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
  return true;
}

core::Result<std::shared_ptr<const FileSource>> FileSource::open(
    const std::filesystem::path& path) {
  // Not blocking: a named pipe would wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat status {};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    const int error = errno;
    if (fd >= 0)
      ::close(fd);
    const Errc code = error == ENOENT || error == ENOTDIR ? Errc::not_found
                      : error == EACCES                   ? Errc::permission_denied
                                                          : Errc::io;
    return fail(code, code == Errc::not_found ? "no such file" : std::strerror(error), path);
  }
  auto source = std::make_shared<const FileSource>(fd, status);
  if (!S_ISREG(status.st_mode))
    return fail(Errc::corrupt, "not a model: not a regular file", path);
  return source;
}

FileSource::~FileSource() {
  ::close(fd_);
}

bool FileSource::read(std::uint64_t offset, std::span<std::byte> into) const {
  while (!into.empty()) {
    const ssize_t got = ::pread(fd_, into.data(), into.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return false;
    offset += static_cast<std::uint64_t>(got);
    into = into.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

bool FileSource::unchanged() const {
  struct stat now {};
  return ::fstat(fd_, &now) == 0 && now.st_size == opened_.st_size &&
         now.st_mtim.tv_sec == opened_.st_mtim.tv_sec &&
         now.st_mtim.tv_nsec == opened_.st_mtim.tv_nsec;
}

}  // namespace cleave::inline v0::model
