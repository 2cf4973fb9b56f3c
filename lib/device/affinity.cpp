#include "lib/device/parse.hpp"

#include <cleave/device/affinity.hpp>

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

std::vector<int> both(std::vector<int> a, const std::vector<int>& b) {
  a.insert(a.end(), b.begin(), b.end());
  std::sort(a.begin(), a.end());
  return a;
}

std::vector<CpuSet> by_capacity(const Machine& machine) {
  Files& files = *machine.files;
  const fs::path root = machine.sys / "devices/system/cpu";
  std::map<long, std::vector<int>, std::greater<>> kinds;
  std::vector<int> all;
  for (const std::string& name : files.list(root)) {
    if (!name.starts_with("cpu"))
      continue;
    const int cpu = parse_number<int>(std::string_view(name).substr(3)).value_or(-1);
    const auto capacity = files.read(root / name / "cpu_capacity");
    const long number = capacity ? parse_number<long>(*capacity).value_or(-1) : -1;
    if (cpu < 0 || number < 0)
      continue;
    kinds[number].push_back(cpu);
    all.push_back(cpu);
  }
  if (kinds.size() < 2)
    return {};
  std::vector<CpuSet> sets{{"all", both(all, {})}};
  for (auto& [capacity, cpus] : kinds)
    sets.push_back({kinds.size() > 2   ? "capacity " + std::to_string(capacity)
                    : sets.size() == 1 ? "big"
                                       : "little",
                    both(cpus, {})});
  return sets;
}

core::Result<std::vector<int>> real_get(pid_t thread) {
  cpu_set_t* set = CPU_ALLOC(most_cpus);
  const std::size_t size = CPU_ALLOC_SIZE(most_cpus);
  const bool got = ::sched_getaffinity(thread, size, set) == 0;
  const int error = errno;
  std::vector<int> cpus;
  for (int cpu = 0; got && cpu < most_cpus; ++cpu)
    if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, set))
      cpus.push_back(cpu);
  CPU_FREE(set);
  if (!got)
    return core::fail(error == ESRCH ? core::Errc::not_found : core::Errc::io,
                      std::string("cannot ask for its CPUs: ") + std::strerror(error),
                      "thread " + std::to_string(thread));
  return cpus;
}

core::Result<void> real_set(pid_t thread, const std::vector<int>& cpus) {
  cpu_set_t* set = CPU_ALLOC(most_cpus);
  const std::size_t size = CPU_ALLOC_SIZE(most_cpus);
  CPU_ZERO_S(size, set);
  for (int cpu : cpus) CPU_SET_S(static_cast<std::size_t>(cpu), size, set);
  const bool done = ::sched_setaffinity(thread, size, set) == 0;
  const int error = errno;
  CPU_FREE(set);
  if (done)
    return {};
  return core::fail(error == ESRCH    ? core::Errc::not_found
                    : error == EPERM  ? core::Errc::permission_denied
                    : error == EINVAL ? core::Errc::refused
                                      : core::Errc::io,
                    std::string("cannot set its CPUs: ") + std::strerror(error),
                    "thread " + std::to_string(thread),
                    error == EINVAL ? "its cpuset has none of them" : "");
}

core::Result<std::vector<pid_t>> real_threads() {
  std::vector<pid_t> threads;
  for (const std::string& name : real_files()->list("/proc/self/task"))
    if (const auto id = parse_number<pid_t>(name))
      threads.push_back(*id);
  if (threads.empty())
    return core::fail(core::Errc::io, "no threads are listed", "/proc/self/task");
  return threads;
}

}  // namespace

std::vector<CpuSet> kinds_of_cpu(const Machine& machine) {
  if (auto sets = by_capacity(machine); !sets.empty())
    return sets;
  Files& files = *machine.files;
  const auto list_of = [&](const char* kind) {
    const auto text = files.read(machine.sys / "devices" / kind / "cpus");
    return text ? parse_cpu_list(*text) : std::nullopt;
  };
  const auto fast = list_of("cpu_core"), slow = list_of("cpu_atom");
  if (!fast || !slow)
    return {};
  return {{"all", both(*fast, *slow)}, {"performance", *fast}, {"efficient", *slow}};
}

namespace {

class Affinity final : public Governor {
 public:
  Affinity(AffinityOptions options, AffinityCalls calls)
      : sets_(std::move(options.sets)), calls_(std::move(calls)) {
    knob_.name = "cpus";
    knob_.host = options.host;
    knob_.categorical = true;
    if (!calls_.get)
      calls_.get = real_get;
    if (!calls_.set)
      calls_.set = real_set;
    if (!calls_.threads)
      calls_.threads = real_threads;
  }

  ~Affinity() override {
    // The program goes on with fewer CPUs if this fails; nobody is left to tell.
    (void)restore();
  }
  Affinity(const Affinity&) = delete;
  Affinity& operator=(const Affinity&) = delete;

  core::Result<void> look(const Machine& machine) {
    if (sets_.empty())
      sets_ = kinds_of_cpu(machine);
    if (sets_.empty())
      return core::fail(core::Errc::unsupported, "all CPUs are alike",
                        (machine.sys / "devices/system/cpu").string(),
                        "the number of threads is the knob for that");
    for (CpuSet& set : sets_) {
      if (set.cpus.empty() || set.cpus.front() < 0 || set.cpus.back() >= most_cpus)
        return core::fail(core::Errc::invalid_argument, "\"" + set.label + "\" has no CPUs",
                          knob_.name);
      knob_.levels.push_back({set.label, static_cast<double>(knob_.levels.size())});
    }
    return {};
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }

  core::Result<void> apply(core::LevelIndex level) override {
    if (level >= sets_.size())
      return core::fail(
          core::Errc::invalid_argument,
          "no level " + std::to_string(level) + "; there are " + std::to_string(sets_.size()),
          knob_.name);
    const auto threads = calls_.threads();
    if (!threads)
      return core::fail(threads);
    if (found_.empty())
      if (auto noted = note(*threads); !noted)
        return noted;
    for (pid_t thread : *threads)
      if (auto done = put(thread, sets_[level].cpus); !done)
        return done;
    return {};
  }

  core::Result<std::optional<core::LevelIndex>> current() override {
    const auto now = calls_.get(::getpid());
    if (!now)
      return core::fail(now);
    for (std::size_t i = 0; i < sets_.size(); ++i)
      if (sets_[i].cpus == *now)
        return static_cast<core::LevelIndex>(i);
    return std::nullopt;
  }

  core::Result<void> restore() override {
    if (found_.empty())
      return {};
    const auto threads = calls_.threads();
    if (!threads)
      return core::fail(threads);
    core::Result<void> first;
    for (pid_t thread : *threads) {
      const auto before = found_.find(thread);
      const auto& cpus = before == found_.end() ? first_ : before->second;
      if (auto done = put(thread, cpus); !done && first)
        first = done;
    }
    if (first)
      found_.clear();
    return first;
  }

 private:
  // What each thread has before the first is changed. Those that start later run where they are put
  // by their parents.
  core::Result<void> note(const std::vector<pid_t>& threads) {
    const auto first = calls_.get(::getpid());
    if (!first)
      return core::fail(first);
    for (pid_t thread : threads) {
      const auto before = calls_.get(thread);
      if (!before && before.error().code == core::Errc::not_found)
        continue;  // it has ended
      if (!before) {
        found_.clear();
        return core::fail(before);
      }
      found_[thread] = *before;
    }
    first_ = *first;
    return {};
  }

  // Sets and reads back; a thread that has ended needs nothing.
  core::Result<void> put(pid_t thread, const std::vector<int>& cpus) {
    auto done = calls_.set(thread, cpus);
    if (!done)
      return done.error().code == core::Errc::not_found ? core::Result<void>() : done;
    const auto now = calls_.get(thread);
    if (!now)
      return now.error().code == core::Errc::not_found ? core::Result<void>() : core::fail(now);
    if (*now != cpus)
      return core::fail(core::Errc::refused,
                        "the kernel left it " + std::to_string(now->size()) + " of " +
                            std::to_string(cpus.size()) + " CPUs",
                        "thread " + std::to_string(thread),
                        "its cpuset (a container's, a service's) does not have the others");
    return {};
  }

  std::vector<CpuSet> sets_;
  AffinityCalls calls_;
  core::Knob knob_;
  std::map<pid_t, std::vector<int>> found_;  // by thread, before the first change
  std::vector<int> first_;                   // of the process's first thread
};

}  // namespace

core::Result<std::unique_ptr<AffinityGovernor>> AffinityGovernor::open(AffinityOptions options,
                                                                       Machine machine,
                                                                       AffinityCalls calls) {
  auto impl = std::make_unique<Affinity>(std::move(options), std::move(calls));
  if (auto looked = impl->look(machine); !looked)
    return core::fail(looked);
  return std::unique_ptr<AffinityGovernor>(new AffinityGovernor(std::move(impl)));
}

}  // namespace cleave::inline v0::device
