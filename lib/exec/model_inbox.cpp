#include "lib/core/descriptor.hpp"

#include <cleave/exec/model_inbox.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

namespace cleave::inline v0::exec {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using core::fail;

constexpr const char* incoming = ".incoming";

tl::unexpected<core::Error> fail_errno(int error, std::string what, const fs::path& where) {
  const Errc code = error == EACCES || error == EPERM ? Errc::permission_denied : Errc::io;
  return fail(code, std::move(what) + ": " + std::strerror(error), where.string(),
              error == ENOSPC ? "free some space" : "");
}

// "DIGEST.pt" or "DIGEST.onnx": what came this way, and not what the operator put there.
bool was_pushed(const fs::path& path) {
  PushBegin named{path.stem().string(), 0, path.extension().string()};
  return parse_push_begin(write_push_begin(named)).has_value();
}

std::uint64_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

core::Result<void> sync_folder(const fs::path& folder) {
  const core::Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.get() < 0 || ::fsync(opened.get()) != 0)
    return fail_errno(errno, "cannot sync the folder", folder);
  return {};
}

}  // namespace

ModelInbox::ModelInbox(ModelInboxOptions options) : options_(std::move(options)) {}

fs::path ModelInbox::part(const std::string& digest, const File& file) const {
  return options_.folder / incoming / (digest + file.extension);
}

core::Result<void> ModelInbox::make_room(const PushBegin& begin) {
  std::uint64_t used = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(options_.folder, error))
    if (was_pushed(entry.path()))
      used += size_of(entry.path());
  for (const auto& [digest, file] : under_way_)
    if (digest != begin.digest)
      used += file.size;
  std::vector<fs::path> stale;
  std::uint64_t stale_bytes = 0;
  for (const auto& entry : fs::directory_iterator(options_.folder / incoming, error)) {
    const std::string digest = entry.path().stem().string();
    if (digest == begin.digest || under_way_.contains(digest))
      continue;
    stale.push_back(entry.path());
    stale_bytes += size_of(entry.path());
  }
  if (used > options_.quota || begin.size > options_.quota - used)
    return fail(Errc::exhausted, "the models that were pushed here leave no room for this one", {},
                "ask the operator to delete some, or to raise the quota");
  if (begin.size + stale_bytes > options_.quota - used)
    for (const fs::path& path : stale) fs::remove(path, error);
  return {};
}

core::Result<std::uint64_t> ModelInbox::begin(const PushBegin& begin) {
  const std::lock_guard lock(mutex_);
  if (begin.size == 0 || begin.size > options_.max_file)
    return fail(Errc::exhausted,
                "a model of " + std::to_string(begin.size) + " bytes; this host takes up to " +
                    std::to_string(options_.max_file),
                {}, "ask the operator to raise the limit");
  const auto known = under_way_.find(begin.digest);
  if (known != under_way_.end() && known->second.committing)
    return fail(Errc::in_use, "this model is being checked already", begin.digest);
  if (known == under_way_.end() && under_way_.size() >= options_.max_under_way)
    return fail(Errc::exhausted, "too many models are being pushed", {}, "try again later");
  if (::mkdir((options_.folder / incoming).c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(errno, "cannot make the folder for incoming models",
                      options_.folder / incoming);
  if (auto room = make_room(begin); !room)
    return fail(room);
  const File file{begin.size, begin.extension, false};
  const fs::path path = part(begin.digest, file);
  const core::Descriptor opened(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat status {};
  if (opened.get() < 0 || ::fstat(opened.get(), &status) != 0)
    return fail_errno(errno, "cannot write", path);
  // More than announced is of no use.
  if (static_cast<std::uint64_t>(status.st_size) > begin.size) {
    if (::ftruncate(opened.get(), 0) != 0)
      return fail_errno(errno, "cannot empty", path);
    status.st_size = 0;
  }
  under_way_[begin.digest] = file;
  return static_cast<std::uint64_t>(status.st_size);
}

core::Result<std::uint64_t> ModelInbox::append(const PushAppend& append) {
  const std::lock_guard lock(mutex_);
  const auto known = under_way_.find(append.digest);
  if (known == under_way_.end())
    return fail(Errc::not_found, "this model was not begun", append.digest, "begin again");
  if (known->second.committing)
    return fail(Errc::in_use, "this model is being checked already", append.digest);
  const fs::path path = part(append.digest, known->second);
  const core::Descriptor opened(::open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (opened.get() < 0 || ::fstat(opened.get(), &status) != 0)
    return fail_errno(errno, "cannot write", path);
  const auto there = static_cast<std::uint64_t>(status.st_size);
  if (append.offset != there)
    return fail(Errc::mismatch,
                "bytes from " + std::to_string(append.offset) + " on, but there are " +
                    std::to_string(there),
                append.digest, "begin again");
  if (there > known->second.size || append.bytes.size() > known->second.size - there)
    return fail(Errc::exhausted, "more bytes than were announced", append.digest);
  for (std::size_t done = 0; done < append.bytes.size();) {
    const ssize_t count = ::pwrite(opened.get(), append.bytes.data() + done,
                                   append.bytes.size() - done, static_cast<off_t>(there + done));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0) {
      const int error = errno;
      // A piece that is there in part would be another file.
      if (::ftruncate(opened.get(), static_cast<off_t>(there)) != 0)
        return fail_errno(errno, "cannot take back what was written", path);
      return fail_errno(error, "cannot write", path);
    }
    done += static_cast<std::size_t>(count);
  }
  return there + append.bytes.size();
}

core::Result<core::Fingerprint> ModelInbox::commit(const std::string& digest) {
  fs::path path, target;
  {
    const std::lock_guard lock(mutex_);
    const auto known = under_way_.find(digest);
    if (known == under_way_.end())
      return fail(Errc::not_found, "this model was not begun", digest, "begin again");
    File& file = known->second;
    if (file.committing)
      return fail(Errc::in_use, "this model is being checked already", digest);
    path = part(digest, file);
    target = options_.folder / path.filename();
    if (const auto there = size_of(path); there != file.size)
      return fail(Errc::mismatch,
                  std::to_string(there) + " of " + std::to_string(file.size) + " bytes are there",
                  digest, "begin again");
    file.committing = true;
  }
  const auto finish = [&]() -> core::Result<core::Fingerprint> {
    {
      const core::Descriptor opened(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (opened.get() < 0 || ::fsync(opened.get()) != 0)
        return fail_errno(errno, "cannot sync", path);
    }
    const auto actual = options_.digest_of(path);
    if (!actual)
      return fail(actual);
    if (*actual != digest)
      return fail(Errc::corrupt, "the SHA-256 is " + *actual, digest, "push it again");
    auto model = options_.accept(path);
    if (!model)
      return fail(model);
    if (::rename(path.c_str(), target.c_str()) != 0)
      return fail_errno(errno, "cannot move the model to its place", target);
    if (auto synced = sync_folder(options_.folder); !synced)
      return fail(synced);
    return model;
  };
  auto model = finish();
  const std::lock_guard lock(mutex_);
  under_way_.erase(digest);
  if (!model) {
    std::error_code ignored;
    fs::remove(path, ignored);
    options_.log->log(core::Severity::warning, "models",
                      "a pushed model was refused: " + model.error().message());
  } else {
    options_.log->log(core::Severity::info, "models",
                      "pushed: " + to_string(*model) + ", " + target.string());
  }
  return model;
}

core::Result<std::vector<std::byte>> ModelInbox::handle_begin(std::span<const std::byte> message) {
  const auto parsed = parse_push_begin(message);
  if (!parsed)
    return fail(parsed);
  const auto offset = begin(*parsed);
  if (!offset)
    return fail(offset);
  return write_push_offset(*offset);
}

core::Result<std::vector<std::byte>> ModelInbox::handle_append(std::span<const std::byte> message) {
  const auto parsed = parse_push_append(message);
  if (!parsed)
    return fail(parsed);
  const auto offset = append(*parsed);
  if (!offset)
    return fail(offset);
  return write_push_offset(*offset);
}

core::Result<std::vector<std::byte>> ModelInbox::handle_commit(std::span<const std::byte> message) {
  const auto digest = parse_push_commit(message);
  if (!digest)
    return fail(digest);
  const auto model = commit(*digest);
  if (!model)
    return fail(model);
  return write_push_committed(*model);
}

}  // namespace cleave::inline v0::exec
