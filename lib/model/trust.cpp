#include "lib/model/trust.hpp"

#include <cleave/core/file.hpp>
#include <cleave/model/model.hpp>

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

namespace cleave::inline v0::model {

namespace fs = std::filesystem;
using core::Errc;
using core::fail;
using core::Result;

namespace {

constexpr std::string_view heading = "# cleave: trusted model files, version 1";
constexpr std::size_t largest_list = std::size_t{16} << 20;

bool is_fingerprint(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// One word or the rest of a line, with nothing in it that would begin another.
std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '?';
  return text;
}

std::string line_of(const TrustedList::Entry& entry) {
  return entry.fingerprint + ' ' + entry.torch_version + ' ' +
         (entry.how == TrustedList::How::given ? "given" : "checked") + ' ' +
         printable(entry.name) + '\n';
}

// Locks a file beside the list for as long as it lives.
class Lock {
 public:
  explicit Lock(const fs::path& list)
      : fd_(::open((list.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (fd_ >= 0 && ::flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~Lock() {
    if (fd_ >= 0)
      ::close(fd_);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  [[nodiscard]] bool held() const { return fd_ >= 0; }

 private:
  int fd_;
};

}  // namespace

Result<fs::path> default_trusted_list() {
  const auto under = [](const char* folder) {
    return fs::path(folder) / "cleave" / "trusted_models";
  };
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return under(state);
  if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/')
    return under((fs::path(home) / ".local" / "state").c_str());
  return fail(Errc::not_found, "there is no place for the list of trusted models", "HOME",
              "set HOME or XDG_STATE_HOME");
}

Result<std::string> file_fingerprint(const ByteSource& source, const std::string& where) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> digest(EVP_MD_CTX_new(),
                                                                  &EVP_MD_CTX_free);
  if (!digest || EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr) != 1)
    return fail(Errc::internal, "OpenSSL has no SHA-256", where);
  std::vector<std::byte> buffer(std::size_t{1} << 20);
  for (std::uint64_t offset = 0; offset < source.size();) {
    const auto part =
        std::span(buffer).first(std::min<std::uint64_t>(source.size() - offset, buffer.size()));
    if (!source.read(offset, part))
      return fail(Errc::io, "cannot read the file", where);
    if (EVP_DigestUpdate(digest.get(), part.data(), part.size()) != 1)
      return fail(Errc::internal, "OpenSSL cannot sum", where);
    offset += part.size();
  }
  unsigned char sum[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_DigestFinal_ex(digest.get(), sum, &size) != 1)
    return fail(Errc::internal, "OpenSSL cannot sum", where);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += "0123456789abcdef"[sum[i] >> 4];
    text += "0123456789abcdef"[sum[i] & 15];
  }
  return text;
}

Result<std::string> file_fingerprint(const fs::path& path) {
  const auto source = FileSource::open(path);
  if (!source)
    return fail(source);
  return file_fingerprint(**source, path);
}

Result<std::vector<TrustedList::Entry>> TrustedList::entries() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      return std::vector<Entry>();
    return fail(errno == EACCES ? Errc::permission_denied : Errc::io, std::strerror(errno), path_);
  }
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(Errc::corrupt, "others than its owner may write to the trusted list", path_,
                "chmod go-w it, after a look at what it holds");
  const auto text = core::read_text(path_, largest_list);
  if (!text)
    return fail(text);
  std::vector<Entry> entries;
  std::istringstream lines(*text);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    if (line.empty() || line.front() == '#')
      continue;
    std::istringstream words(line);
    Entry entry;
    std::string how;
    words >> entry.fingerprint >> entry.torch_version >> how >> std::ws;
    std::getline(words, entry.name);
    if (!is_fingerprint(entry.fingerprint) || (how != "given" && how != "checked"))
      return fail(Errc::corrupt, "line " + std::to_string(number) + " names no trusted model",
                  path_, "delete that line");
    entry.how = how == "given" ? How::given : How::checked;
    entries.push_back(std::move(entry));
  }
  return entries;
}

Result<bool> TrustedList::contains(const std::string& fingerprint) const {
  const auto all = entries();
  if (!all)
    return fail(all);
  const std::string version = torch_version();
  return std::any_of(all->begin(), all->end(), [&](const Entry& entry) {
    return entry.fingerprint == fingerprint &&
           (entry.how == How::given || entry.torch_version == version);
  });
}

Result<void> TrustedList::add(const std::string& fingerprint, How how,
                              const std::string& name) const {
  std::error_code error;
  if (path_.has_parent_path() && !fs::exists(path_.parent_path(), error)) {
    fs::create_directories(path_.parent_path(), error);
    fs::permissions(path_.parent_path(), fs::perms::owner_all, error);
  }
  const Lock lock(path_);
  if (!lock.held())
    return fail(errno == EACCES || errno == EROFS ? Errc::permission_denied : Errc::io,
                std::string("cannot write the trusted list: ") + std::strerror(errno), path_);
  auto all = entries();
  if (!all)
    return fail(all);
  const Entry added{fingerprint, torch_version(), how, name};
  std::erase_if(*all, [&](const Entry& entry) {
    return entry.fingerprint == fingerprint && entry.how == how &&
           entry.torch_version == added.torch_version;
  });
  all->push_back(added);
  std::string text = std::string(heading) + '\n';
  for (const Entry& entry : *all) text += line_of(entry);
  // A file that is replaced keeps its mode, so a new one begins as the owner's alone.
  if (const int made = ::open(path_.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0600); made >= 0)
    ::close(made);
  return core::write_file(path_, text);
}

}  // namespace cleave::inline v0::model
