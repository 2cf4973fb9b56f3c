#include "lib/device/cgroup.hpp"
#include "lib/device/parse.hpp"
#include "lib/device/run_command.hpp"

#include <cleave/core/file.hpp>
#include <cleave/device/journal.hpp>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view suffix = ".journal";
constexpr std::size_t size_limit = std::size_t{1} << 20;

struct Entry {
  enum class Kind { file, group, command, gpu } kind = Kind::file;
  fs::path path;
  std::string original;  // of a file
  fs::path parent;       // of a group
  std::string command;
  core::Seconds timeout;  // of a command
  GpuSetting setting;
};

json to_json(const Entry& entry) {
  switch (entry.kind) {
    case Entry::Kind::file:
      return {{"file", entry.path.string()}, {"value", entry.original}};
    case Entry::Kind::group:
      return {{"cgroup", entry.path.string()}, {"parent", entry.parent.string()}};
    case Entry::Kind::command:
      return {{"command", entry.command},
              {"milliseconds", std::to_string(std::lround(entry.timeout.count() * 1e3))}};
    case Entry::Kind::gpu:
      break;
  }
  return {{"nvml", entry.setting.library},
          {"gpu", entry.setting.gpu},
          {"setting", std::string(to_string(entry.setting.kind))},
          {"value", std::to_string(entry.setting.value)}};
}

std::string to_line(const Entry& entry) {
  return to_json(entry).dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

bool is_our_group(const fs::path& group) {
  return group.filename().string().starts_with("cleave-");
}

core::Result<std::vector<Entry>> parse_entries(const std::string& text, const fs::path& where) {
  std::vector<Entry> entries;
  // What follows the last line end was cut short by a crash, before the change it announces.
  const auto whole = text.rfind('\n');
  if (whole == std::string::npos)
    return entries;
  for (std::string_view line : lines(std::string_view(text).substr(0, whole))) {
    if (line.empty())
      continue;
    const json object = json::parse(line, nullptr, false);
    const auto text_of = [&](const char* key) -> const std::string* {
      const auto found = object.find(key);
      return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
    };
    Entry entry;
    if (object.is_object() && text_of("file") && text_of("value")) {
      entry.path = *text_of("file");
      entry.original = *text_of("value");
    } else if (object.is_object() && text_of("cgroup") && text_of("parent") &&
               is_our_group(*text_of("cgroup"))) {
      entry.kind = Entry::Kind::group;
      entry.path = *text_of("cgroup");
      entry.parent = *text_of("parent");
    } else if (object.is_object() && text_of("command") && text_of("milliseconds") &&
               parse_number<long>(*text_of("milliseconds"))) {
      entry.kind = Entry::Kind::command;
      entry.command = *text_of("command");
      entry.timeout =
          core::milliseconds(static_cast<double>(*parse_number<long>(*text_of("milliseconds"))));
    } else if (object.is_object() && text_of("nvml") && text_of("gpu") && text_of("setting") &&
               text_of("value") && parse_number<unsigned>(*text_of("value")) &&
               gpu_setting_of(*text_of("setting"))) {
      entry.kind = Entry::Kind::gpu;
      entry.setting = {*text_of("nvml"), *text_of("gpu"), *gpu_setting_of(*text_of("setting")),
                       *parse_number<unsigned>(*text_of("value"))};
    } else if (object.is_object() && text_of("owner")) {
      continue;
    } else {
      return core::fail(
          core::Errc::corrupt,
          "the journal holds a line that is not an entry: " + std::string(line.substr(0, 80)),
          where.string(), "put the settings back by hand and remove the file");
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

core::Result<void> undo_file(Files& files, const Entry& entry) {
  if (auto written = files.write(entry.path, entry.original); !written)
    return written;
  // What is written here is a command (-cpu), what is read the resulting list.
  if (entry.path.filename() == "cgroup.subtree_control")
    return {};
  const auto now = files.read(entry.path);
  if (!now)
    return core::fail(now);
  if (*now != entry.original)
    return core::fail(
        core::Errc::refused,
        "the kernel kept \"" + *now + "\" when \"" + entry.original + "\" was put back",
        entry.path.string(), "write it there by hand");
  return {};
}

core::Result<void> undo_entry(Files& files, const Entry& entry) {
  core::Result<void> done;
  switch (entry.kind) {
    case Entry::Kind::file:
      done = undo_file(files, entry);
      break;
    case Entry::Kind::group:
      if (files.exists(entry.path))
        done = dissolve_group(files, entry.path, entry.parent);
      break;
    case Entry::Kind::command:
      if (auto ran = run_command(entry.command, entry.timeout); !ran)
        return core::fail(ran);
      break;
    case Entry::Kind::gpu:
      done = put_back(entry.setting);
      break;
  }
  // Unplugged since, or the container is gone: there is nothing left to put back.
  if (!done && done.error().code == core::Errc::not_found)
    return {};
  return done;
}

tl::unexpected<core::Error> fail_errno(int error, const std::string& doing, const fs::path& where) {
  const bool denied = error == EACCES || error == EPERM || error == EROFS;
  return core::fail(denied ? core::Errc::permission_denied : core::Errc::io,
                    doing + ": " + std::strerror(error), where.string(),
                    denied ? "choose another state directory" : "");
}

// The journal says what to write where, so nobody else may have a hand in it.
core::Result<void> check_directory(const fs::path& dir) {
  struct stat info {};
  if (::lstat(dir.c_str(), &info) != 0)
    return fail_errno(errno, "cannot look at the state directory", dir);
  if (!S_ISDIR(info.st_mode))
    return core::fail(core::Errc::invalid_argument, "the state directory is not a directory",
                      dir.string());
  if (info.st_uid != ::geteuid() || (info.st_mode & 0022) != 0)
    return core::fail(core::Errc::permission_denied,
                      "the state directory belongs to another user, or others may write to it",
                      dir.string(), "remove it, or choose another state directory");
  return {};
}

core::Result<void> make_state_dir(const fs::path& dir) {
  std::error_code error;
  if (dir.has_parent_path())
    fs::create_directories(dir.parent_path(), error);
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno(errno, "cannot create the state directory", dir);
  return check_directory(dir);
}

}  // namespace

fs::path default_state_dir() {
  if (::geteuid() == 0)
    return "/run/cleave";
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (runtime != nullptr && *runtime == '/')
    return fs::path(runtime) / "cleave";
  return "/tmp/cleave-" + std::to_string(::geteuid());
}

struct Journal::State {
  fs::path path;
  std::shared_ptr<Files> files;
  int fd = -1;
  pid_t owner = ::getpid();
  std::vector<Entry> entries;

  ~State() {
    if (fd >= 0)
      ::close(fd);
  }

  core::Result<void> append(Entry entry) {
    const std::string line = to_line(entry);
    const off_t before = ::lseek(fd, 0, SEEK_END);
    std::size_t done = 0;
    int error = before < 0 ? errno : 0;
    while (error == 0 && done < line.size()) {
      const ssize_t n = ::write(fd, line.data() + done, line.size() - done);
      if (n >= 0)
        done += static_cast<std::size_t>(n);
      else if (errno != EINTR)
        error = errno;
    }
    if (error == 0 && ::fdatasync(fd) != 0)
      error = errno;
    if (error != 0) {
      // Half a line must not be glued to the next entry.
      if (before >= 0 && ::ftruncate(fd, before) != 0)
        return fail_errno(errno, "cannot write the journal", path);
      return fail_errno(error, "cannot write the journal", path);
    }
    entries.push_back(std::move(entry));
    return {};
  }

  core::Result<void> start_afresh() {
    const std::string line = json{{"owner", std::to_string(owner)}}.dump() + "\n";
    if (::ftruncate(fd, 0) != 0 ||
        ::pwrite(fd, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()))
      return fail_errno(errno, "cannot write the journal", path);
    return {};
  }

  // One entry may stand in another's way (a minimum above the present maximum is refused), so those
  // that fail are tried again as long as others succeed. The file keeps all entries until none is
  // left: undoing one twice does no harm, losing one would.
  core::Result<void> undo_entries() {
    core::Result<void> first;
    bool progress = true;
    while (!entries.empty() && progress) {
      first = {};
      std::vector<Entry> failed;
      for (auto it = entries.rbegin(); it != entries.rend(); ++it)
        if (auto undone = undo_entry(*files, *it); !undone) {
          failed.insert(failed.begin(), *it);
          if (first)
            first = undone;
        }
      progress = failed.size() != entries.size();
      entries = std::move(failed);
    }
    return first;
  }
};

Journal::Journal(std::unique_ptr<State> state) : state_(std::move(state)) {}
Journal::Journal(Journal&&) noexcept = default;
Journal& Journal::operator=(Journal&& other) noexcept {
  // The journal replaced ends with `old`, as its destructor has it.
  Journal old(std::move(*this));
  state_ = std::move(other.state_);
  return *this;
}

Journal::~Journal() {
  // Unlinked under the lock: whoever waits for it sees that the name is gone and starts afresh.
  if (state_ && state_->entries.empty() && state_->owner == ::getpid())
    ::unlink(state_->path.c_str());
}

core::Result<Journal> Journal::open(const fs::path& state_dir, const std::string& name,
                                    std::shared_ptr<Files> files) {
  if (name.empty() || name.find('/') != std::string::npos || name.front() == '.')
    return core::fail(core::Errc::invalid_argument, "not a journal's name", name);
  if (auto made = make_state_dir(state_dir); !made)
    return core::fail(made);
  auto state = std::make_unique<State>();
  state->path = state_dir / (name + std::string(suffix));
  state->files = std::move(files);
  while (true) {
    state->fd = ::open(state->path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (state->fd < 0)
      return fail_errno(errno, "cannot open the journal", state->path);
    if (::flock(state->fd, LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) {
        ::close(std::exchange(state->fd, -1));
        continue;
      }
      if (errno != EWOULDBLOCK)
        return fail_errno(errno, "cannot lock the journal", state->path);
      std::string owner;
      if (const auto text = core::read_text(state->path, size_limit)) {
        const json first = json::parse(text->substr(0, text->find('\n')), nullptr, false);
        if (first.is_object() && first.contains("owner") && first["owner"].is_string())
          owner = " (process " + first["owner"].get<std::string>() + ")";
      }
      return core::fail(core::Errc::in_use, name + " is held by another program" + owner,
                        state->path.string(), "let it finish, or stop it");
    }
    // The file that was locked must still be the one with that name.
    struct stat locked {};
    struct stat named {};
    if (::fstat(state->fd, &locked) == 0 && ::stat(state->path.c_str(), &named) == 0 &&
        locked.st_ino == named.st_ino && locked.st_dev == named.st_dev)
      break;
    ::close(std::exchange(state->fd, -1));
  }
  const auto text = core::read_text(state->path, size_limit);
  if (!text)
    return core::fail(text);
  auto entries = parse_entries(*text, state->path);
  if (!entries) {
    // Never unlink what was not understood.
    ::close(std::exchange(state->fd, -1));
    return core::fail(entries);
  }
  state->entries = std::move(*entries);
  if (auto undone = state->undo_entries(); !undone) {
    core::Error error = undone.error();
    // in_use is kept for a lock that a live process holds.
    if (error.code == core::Errc::in_use)
      error.code = core::Errc::io;
    return tl::unexpected(error);
  }
  if (auto fresh = state->start_afresh(); !fresh)
    return core::fail(fresh);
  return Journal(std::move(state));
}

core::Result<void> Journal::will_write(const fs::path& file, const std::string& original) {
  for (const Entry& entry : state_->entries)
    if (entry.kind == Entry::Kind::file && entry.path == file)
      return {};
  Entry entry;
  entry.path = file;
  entry.original = original;
  return state_->append(std::move(entry));
}

core::Result<void> Journal::will_create_group(const fs::path& group, const fs::path& parent) {
  if (!is_our_group(group))
    return core::fail(core::Errc::invalid_argument, "a group's name must begin with cleave-",
                      group.string());
  Entry entry;
  entry.kind = Entry::Kind::group;
  entry.path = group;
  entry.parent = parent;
  return state_->append(std::move(entry));
}

core::Result<void> Journal::will_run(const std::string& command, core::Seconds timeout) {
  Entry entry;
  entry.kind = Entry::Kind::command;
  entry.command = command;
  entry.timeout = timeout;
  return state_->append(std::move(entry));
}

core::Result<void> Journal::will_set(const GpuSetting& original) {
  Entry entry;
  entry.kind = Entry::Kind::gpu;
  entry.setting = original;
  return state_->append(std::move(entry));
}

core::Result<void> Journal::undo() {
  if (state_->owner != ::getpid())
    return {};
  if (auto undone = state_->undo_entries(); !undone)
    return undone;
  return state_->start_afresh();
}

Recovery recover(const fs::path& state_dir, std::shared_ptr<Files> files) {
  Recovery recovery;
  std::error_code error;
  if (!fs::exists(state_dir, error))
    return recovery;
  if (auto safe = check_directory(state_dir); !safe) {
    recovery.errors.push_back(safe.error());
    return recovery;
  }
  for (const std::string& file : real_files()->list(state_dir)) {
    if (!file.ends_with(suffix))
      continue;
    const std::string name = file.substr(0, file.size() - suffix.size());
    // Opening undoes what a dead owner left; closing removes the file.
    if (auto journal = Journal::open(state_dir, name, files); journal)
      recovery.undone.push_back(name);
    else if (journal.error().code == core::Errc::in_use)
      recovery.live.push_back(name);
    else
      recovery.errors.push_back(journal.error());
  }
  return recovery;
}

}  // namespace cleave::inline v0::device
