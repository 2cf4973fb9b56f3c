#include <cleave/core/file.hpp>
#include <cleave/device/files.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t read_limit = std::size_t{1} << 20;

tl::unexpected<core::Error> fail_errno(int error, const std::string& doing, const fs::path& where) {
  core::Errc code = core::Errc::io;
  std::string hint;
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ENODEV:
    case ENXIO:
    case ESRCH:
      code = core::Errc::not_found;
      break;
    case EACCES:
    case EPERM:
    case EROFS:
      code = core::Errc::permission_denied;
      hint = "run as root, or let the administrator give this user the right to write it";
      break;
    case EINVAL:
    case ERANGE:
    case EOPNOTSUPP:
      code = core::Errc::invalid_argument;
      break;
    case EBUSY:
    case EEXIST:
    case ENOTEMPTY:
      code = core::Errc::in_use;
      break;
    default:
      break;
  }
  return core::fail(code, doing + ": " + std::strerror(error), where.string(), hint);
}

// Digits compare by their number, so that cpu10 follows cpu2.
bool natural_less(const std::string& a, const std::string& b) {
  std::size_t i = 0, j = 0;
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      std::size_t i_end = i, j_end = j;
      while (i_end < a.size() && digit(a[i_end])) ++i_end;
      while (j_end < b.size() && digit(b[j_end])) ++j_end;
      while (i + 1 < i_end && a[i] == '0') ++i;
      while (j + 1 < j_end && b[j] == '0') ++j;
      if (i_end - i != j_end - j)
        return i_end - i < j_end - j;
      const int order = a.compare(i, i_end - i, b, j, j_end - j);
      if (order != 0)
        return order < 0;
      i = i_end;
      j = j_end;
    } else {
      if (a[i] != b[j])
        return a[i] < b[j];
      ++i;
      ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

class RealFiles final : public Files {
 public:
  core::Result<std::string> read(const fs::path& path) override {
    auto text = core::read_text(path, read_limit);
    if (!text)
      return text;
    const auto last = text->find_last_not_of(" \t\r\n");
    text->erase(last == std::string::npos ? 0 : last + 1);
    return text;
  }

  core::Result<void> write(const fs::path& path, std::string_view value) override {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_TRUNC);
    if (fd < 0)
      return fail_errno(errno, "cannot open for writing", path);
    // One write: the kernel parses what a single call hands it.
    ssize_t written = 0;
    do {
      written = ::write(fd, value.data(), value.size());
    } while (written < 0 && errno == EINTR);
    const int error = errno;
    ::close(fd);
    if (written < 0)
      return fail_errno(error, "cannot write \"" + std::string(value) + "\"", path);
    if (static_cast<std::size_t>(written) != value.size())
      return core::fail(core::Errc::io, "only part of \"" + std::string(value) + "\" was written",
                        path.string());
    return {};
  }

  core::Result<void> make_directory(const fs::path& path) override {
    if (::mkdir(path.c_str(), 0755) != 0)
      return fail_errno(errno, "cannot create the directory", path);
    return {};
  }

  core::Result<void> remove_directory(const fs::path& path) override {
    if (::rmdir(path.c_str()) != 0)
      return fail_errno(errno, "cannot remove the directory", path);
    return {};
  }

  bool exists(const fs::path& path) override {
    std::error_code ignored;
    return fs::exists(path, ignored);
  }

  bool writable(const fs::path& path) override { return ::access(path.c_str(), W_OK) == 0; }

  std::vector<std::string> list(const fs::path& path) override {
    std::vector<std::string> names;
    std::error_code error;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      names.push_back(it->path().filename().string());
    std::sort(names.begin(), names.end(), natural_less);
    return names;
  }

  std::optional<fs::path> resolve(const fs::path& path) override {
    std::error_code error;
    fs::path end = fs::canonical(path, error);
    if (error)
      return std::nullopt;
    return end;
  }
};

}  // namespace

Files::~Files() = default;

std::shared_ptr<Files> real_files() {
  return std::make_shared<RealFiles>();
}

}  // namespace cleave::inline v0::device
