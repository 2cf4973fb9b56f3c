#include "lib/device/cgroup.hpp"
#include "lib/device/parse.hpp"

#include <cleave/device/cpu_share.hpp>
#include <cleave/device/journal.hpp>

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <mutex>
#include <optional>
#include <utility>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

constexpr long least_quota_us = 1000;
constexpr long most_period_us = 1'000'000;

constexpr const char* delegate_hint =
    "run as root, or in a delegated group: systemd-run --user --scope -p Delegate=yes -- COMMAND";

core::Result<void> check(const CpuShareOptions& options) {
  const auto& levels = options.levels;
  if (levels.empty() || levels.size() > 0xffff)
    return core::fail(core::Errc::invalid_argument, "a CPU share needs at least one level",
                      options.name);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (!(levels[i].value > 0 && levels[i].value <= 1))
      return core::fail(
          core::Errc::invalid_argument,
          "level \"" + levels[i].label + "\" is a share of " + std::to_string(levels[i].value),
          options.name, "shares are above 0 and at most 1");
    if (i > 0 && levels[i].value <= levels[i - 1].value)
      return core::fail(core::Errc::invalid_argument, "the levels' shares must ascend",
                        options.name);
  }
  if (options.parallelism < 1 || options.parallelism > 4096)
    return core::fail(core::Errc::invalid_argument, "parallelism must be between 1 and 4096",
                      options.name);
  if (!(options.period.count() >= 1e-3 && options.period.count() <= 1))
    return core::fail(core::Errc::invalid_argument, "the period must be between 1 ms and 1 s",
                      options.name);
  if (options.process < 0)
    return core::fail(core::Errc::invalid_argument, "a process id cannot be negative",
                      options.name);
  return {};
}

}  // namespace

Quota quota_for(double share, core::Seconds period) {
  share = std::max(share, 1e-9);
  long period_us = std::lround(period.count() * 1e3) * 1000;
  const double needed_us = static_cast<double>(least_quota_us) / share;
  if (static_cast<double>(period_us) < needed_us)
    period_us = needed_us >= static_cast<double>(most_period_us)
                    ? most_period_us
                    : static_cast<long>(std::ceil(needed_us / 1000 - 1e-9)) * 1000;
  period_us = std::clamp(period_us, least_quota_us, most_period_us);
  const long quota_us =
      std::max(std::lround(share * static_cast<double>(period_us)), least_quota_us);
  return {quota_us, period_us};
}

class CpuShareGovernor::Impl {
 public:
  Impl(CpuShareOptions options, Machine machine, CpuHierarchy hierarchy, fs::path own)
      : options_(std::move(options)),
        machine_(std::move(machine)),
        hierarchy_(std::move(hierarchy)),
        own_(std::move(own)) {
    if (options_.state_dir.empty())
      options_.state_dir = default_state_dir();
    knob_.name = options_.name;
    knob_.host = options_.host;
    knob_.unit = "share of one CPU";
    knob_.levels = options_.levels;
  }

  // Where the group will be made; version 2 has rules about that.
  core::Result<void> find_home() {
    Files& files = *machine_.files;
    if (hierarchy_.version == 1 || !options_.threads.empty()) {
      home_ = own_;
    } else {
      for (fs::path dir = own_;; dir = dir.parent_path()) {
        if (controls_cpu(dir) && files.writable(dir)) {
          home_ = dir;
          break;
        }
        if (dir == hierarchy_.root || !dir.has_relative_path())
          break;
      }
      if (home_.empty()) {
        // No group on the way up hands the controller to its children. This process's own may be
        // told to, once the process has moved to a leaf ("no internal processes", cgroup-v2.rst).
        const auto members = files.read(own_ / "cgroup.procs");
        const auto controllers = files.read(own_ / "cgroup.controllers");
        const bool alone = members && words(*members).size() == 1;
        if (!controllers || !contains_word(*controllers, "cpu") ||
            !(alone || own_ == hierarchy_.root))
          return core::fail(core::Errc::permission_denied,
                            "this process's control group cannot limit its CPU", own_.string(),
                            delegate_hint);
        home_ = own_;
      }
    }
    if (!files.writable(home_) || !files.writable(home_ / "cgroup.procs"))
      return core::fail(core::Errc::permission_denied, "control groups cannot be made here",
                        home_.string(), delegate_hint);
    return {};
  }

  [[nodiscard]] const core::Knob& knob() const { return knob_; }
  [[nodiscard]] int version() const { return hierarchy_.version; }

  fs::path group() {
    const std::lock_guard lock(mutex_);
    return group_;
  }

  core::Result<void> apply(core::LevelIndex level) {
    const std::lock_guard lock(mutex_);
    if (level >= knob_.levels.size())
      return core::fail(core::Errc::invalid_argument,
                        "no level " + std::to_string(level) + "; there are " +
                            std::to_string(knob_.levels.size()),
                        knob_.name);
    const Quota quota = quota_of(level);
    if (group_.empty()) {
      if (auto entered = enter(quota); !entered) {
        // As it was before; if that fails too, the journal stays for the next start.
        if (auto back = leave(); !back)
          return core::fail(entered.error().code,
                            entered.error().what + "; and then: " + back.error().message(),
                            entered.error().where, entered.error().hint);
        return entered;
      }
    } else if (auto set = set_quota(quota); !set) {
      return set;
    }
    level_ = level;
    return {};
  }

  core::Result<std::optional<core::LevelIndex>> current() {
    const std::lock_guard lock(mutex_);
    if (group_.empty())
      return std::nullopt;
    const auto quota = read_quota();
    if (!quota)
      return core::fail(quota);
    for (std::size_t i = 0; i < knob_.levels.size(); ++i) {
      const Quota level = quota_of(i);
      if (level.quota_us == quota->quota_us && level.period_us == quota->period_us)
        return static_cast<core::LevelIndex>(i);
    }
    return std::nullopt;
  }

  core::Result<void> restore() {
    const std::lock_guard lock(mutex_);
    return leave();
  }

  core::Result<void> set_parallelism(int threads) {
    const std::lock_guard lock(mutex_);
    CpuShareOptions changed = options_;
    changed.parallelism = threads;
    if (auto good = check(changed); !good)
      return good;
    const int before = std::exchange(options_.parallelism, threads);
    if (group_.empty() || before == threads)
      return {};
    auto set = set_quota(quota_of(level_));
    if (!set)
      options_.parallelism = before;
    return set;
  }

 private:
  [[nodiscard]] Quota quota_of(std::size_t level) const {
    return quota_for(knob_.levels[level].value * options_.parallelism, options_.period);
  }

  bool controls_cpu(const fs::path& dir) {
    const auto control = machine_.files->read(dir / "cgroup.subtree_control");
    return control && contains_word(*control, "cpu");
  }

  core::Result<void> enter(const Quota& quota) {
    Files& files = *machine_.files;
    const pid_t process = options_.process == 0 ? ::getpid() : options_.process;
    std::string key = knob_.name + "-" + std::to_string(process);
    if (!options_.threads.empty())
      key += "-" + std::to_string(options_.threads.front());
    auto journal = Journal::open(options_.state_dir, key, machine_.files);
    if (!journal)
      return core::fail(journal);
    journal_ = std::move(*journal);

    int n = 0;
    const auto name = [&] {
      return home_ / ("cleave-" + std::to_string(process) + "-" + std::to_string(n));
    };
    while (files.exists(name())) ++n;
    const fs::path made = name();
    if (auto noted = journal_->will_create_group(made, own_); !noted)
      return noted;
    if (auto created = files.make_directory(made); !created)
      return created;
    group_ = made;

    const bool threaded = hierarchy_.version == 2 && !options_.threads.empty();
    if (threaded)
      if (auto set = files.write(group_ / "cgroup.type", "threaded"); !set)
        return set;
    if (hierarchy_.version == 2 && !controls_cpu(home_)) {
      // The controller may be handed down only by a group without processes, the root or a threaded
      // one. Undone in reverse: the controller goes before the process comes back.
      const bool must_be_empty = home_ != hierarchy_.root && !threaded;
      if (must_be_empty)
        if (auto moved = move_in(process); !moved)
          return moved;
      if (auto noted = journal_->will_write(home_ / "cgroup.subtree_control", "-cpu"); !noted)
        return noted;
      if (auto enabled = files.write(home_ / "cgroup.subtree_control", "+cpu"); !enabled)
        return enabled;
      if (must_be_empty)
        return set_quota(quota);
    }
    if (auto set = set_quota(quota); !set)
      return set;
    return move_in(process);
  }

  core::Result<void> move_in(pid_t process) {
    Files& files = *machine_.files;
    const bool whole = options_.threads.empty();
    const fs::path list = group_ / (whole                     ? "cgroup.procs"
                                    : hierarchy_.version == 1 ? "tasks"
                                                              : "cgroup.threads");
    const std::vector<pid_t> members = whole ? std::vector<pid_t>{process} : options_.threads;
    for (pid_t member : members)
      if (auto moved = files.write(list, std::to_string(member)); !moved) {
        core::Error error = moved.error();
        if (error.code == core::Errc::permission_denied)
          error.hint = delegate_hint;
        return tl::unexpected(error);
      }
    const auto now = files.read(list);
    if (!now)
      return core::fail(now);
    for (pid_t member : members)
      if (!contains_word(*now, std::to_string(member)))
        return core::fail(core::Errc::refused,
                          "the kernel did not move " + std::to_string(member) + " into the group",
                          list.string());
    return {};
  }

  core::Result<void> set_quota(const Quota& quota) {
    Files& files = *machine_.files;
    const std::string quota_text = std::to_string(quota.quota_us);
    const std::string period_text = std::to_string(quota.period_us);
    if (hierarchy_.version == 2) {
      if (auto set = files.write(group_ / "cpu.max", quota_text + " " + period_text); !set)
        return set;
    } else {
      const auto before = read_quota();
      if (!before || before->period_us != quota.period_us) {
        // A new period with the old quota might be more than the parent allows.
        for (const auto& [file, value] : {std::pair{"cpu.cfs_quota_us", std::string("-1")},
                                          std::pair{"cpu.cfs_period_us", period_text}})
          if (auto set = files.write(group_ / file, value); !set)
            return set;
      }
      if (auto set = files.write(group_ / "cpu.cfs_quota_us", quota_text); !set) {
        if (set.error().code == core::Errc::invalid_argument)
          set.error().hint = "a group above may have a tighter limit";
        return set;
      }
    }
    const auto now = read_quota();
    if (!now)
      return core::fail(now);
    if (now->quota_us != quota.quota_us || now->period_us != quota.period_us)
      return core::fail(core::Errc::refused,
                        "the kernel kept a quota of " + std::to_string(now->quota_us) + " of " +
                            std::to_string(now->period_us) + " us instead of " + quota_text +
                            " of " + period_text,
                        group_.string(), "a group above may have a tighter limit");
    return {};
  }

  // No limit reads as a quota of -1.
  core::Result<Quota> read_quota() {
    Files& files = *machine_.files;
    if (hierarchy_.version == 1) {
      const auto quota = read_number<long>(files, group_ / "cpu.cfs_quota_us");
      if (!quota)
        return core::fail(quota);
      const auto period = read_number<long>(files, group_ / "cpu.cfs_period_us");
      if (!period)
        return core::fail(period);
      return Quota{*quota, *period};
    }
    const fs::path file = group_ / "cpu.max";
    const auto text = files.read(file);
    if (!text)
      return core::fail(text);
    const auto parts = words(*text);
    if (parts.size() == 2)
      if (const auto period = parse_number<long>(parts[1])) {
        if (parts[0] == "max")
          return Quota{-1, *period};
        if (const auto quota = parse_number<long>(parts[0]))
          return Quota{*quota, *period};
      }
    return core::fail(core::Errc::corrupt,
                      "not a quota and a period: \"" + text->substr(0, 40) + "\"", file.string());
  }

  core::Result<void> leave() {
    if (!journal_)
      return {};
    auto undone = journal_->undo();
    if (undone) {
      journal_.reset();
      group_.clear();
    }
    return undone;
  }

  std::mutex mutex_;
  CpuShareOptions options_;
  Machine machine_;
  CpuHierarchy hierarchy_;
  fs::path own_, home_, group_;
  core::Knob knob_;
  core::LevelIndex level_ = 0;
  std::optional<Journal> journal_;
};

CpuShareGovernor::CpuShareGovernor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

CpuShareGovernor::~CpuShareGovernor() {
  // A failure leaves the journal, and recover() at the next start reports it.
  (void)impl_->restore();
}

core::Result<std::unique_ptr<CpuShareGovernor>> CpuShareGovernor::open(CpuShareOptions options,
                                                                       Machine machine) {
  if (auto good = check(options); !good)
    return core::fail(good);
  const auto hierarchy = cpu_hierarchy(machine);
  if (!hierarchy)
    return core::fail(hierarchy);
  const auto own = group_of(machine, *hierarchy,
                            options.process == 0 ? "self" : std::to_string(options.process));
  if (!own)
    return core::fail(own);
  auto impl = std::make_unique<Impl>(std::move(options), std::move(machine), *hierarchy, *own);
  if (auto home = impl->find_home(); !home)
    return core::fail(home);
  return std::unique_ptr<CpuShareGovernor>(new CpuShareGovernor(std::move(impl)));
}

const core::Knob& CpuShareGovernor::knob() const {
  return impl_->knob();
}
core::Result<void> CpuShareGovernor::apply(core::LevelIndex level) {
  return impl_->apply(level);
}
core::Result<std::optional<core::LevelIndex>> CpuShareGovernor::current() {
  return impl_->current();
}
core::Result<void> CpuShareGovernor::restore() {
  return impl_->restore();
}
core::Result<void> CpuShareGovernor::set_parallelism(int threads) {
  return impl_->set_parallelism(threads);
}
fs::path CpuShareGovernor::group() const {
  return impl_->group();
}
int CpuShareGovernor::cgroup_version() const {
  return impl_->version();
}

}  // namespace cleave::inline v0::device
