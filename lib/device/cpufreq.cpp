#include "lib/device/control.hpp"
#include "lib/device/parse.hpp"

#include <cleave/device/cpufreq.hpp>
#include <cleave/device/journal.hpp>

#include <algorithm>
#include <optional>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

fs::path policies_of(const Machine& machine) {
  return machine.sys / "devices/system/cpu/cpufreq";
}

std::string label_of(long khz) {
  return std::to_string((khz + 500) / 1000) + " MHz";
}

// The list the driver publishes, else the range in even steps. In kHz, ascending, distinct.
core::Result<std::vector<long>> frequencies_of(Files& files, const fs::path& dir, int steps) {
  std::vector<long> khz;
  const fs::path list = dir / "scaling_available_frequencies";
  if (const auto text = files.read(list); text && !text->empty()) {
    auto listed = parse_frequencies(*text, list);
    if (!listed)
      return listed;
    khz = std::move(*listed);
  } else {
    const auto least = read_number<long>(files, dir / "cpuinfo_min_freq");
    if (!least)
      return core::fail(least);
    const auto most = read_number<long>(files, dir / "cpuinfo_max_freq");
    if (!most)
      return core::fail(most);
    if (*least <= 0 || *most <= *least)
      return core::fail(core::Errc::unsupported, "the policy has no range of frequencies",
                        dir.string());
    for (int i = 0; i < steps; ++i) khz.push_back(*least + (*most - *least) * i / (steps - 1));
  }
  std::sort(khz.begin(), khz.end());
  khz.erase(std::unique(khz.begin(), khz.end()), khz.end());
  return khz;
}

}  // namespace

std::vector<std::string> cpufreq_policies(const Machine& machine) {
  std::vector<std::string> policies;
  for (const std::string& name : machine.files->list(policies_of(machine)))
    if (name.starts_with("policy") && parse_number<int>(std::string_view(name).substr(6)))
      policies.push_back(name);
  return policies;
}

namespace {

class Cpufreq final : public Governor {
 public:
  Cpufreq(std::string policy, CpufreqOptions options, Machine machine)
      : policy_(std::move(policy)),
        options_(std::move(options)),
        machine_(std::move(machine)),
        dir_(policies_of(machine_) / policy_) {
    if (options_.state_dir.empty())
      options_.state_dir = default_state_dir();
  }

  ~Cpufreq() override {
    // A failure leaves the journal, and recover() at the next start reports it.
    (void)restore();
  }
  Cpufreq(const Cpufreq&) = delete;
  Cpufreq& operator=(const Cpufreq&) = delete;

  core::Result<void> look() {
    Files& files = *machine_.files;
    const auto policies = cpufreq_policies(machine_);
    if (std::find(policies.begin(), policies.end(), policy_) == policies.end())
      return core::fail(core::Errc::not_found, "there is no such cpufreq policy", dir_.string(),
                        policies.empty() ? "this machine has no cpufreq driver"
                                         : "the first is " + policies.front());
    if (options_.steps < 2)
      return core::fail(core::Errc::invalid_argument, "steps must be at least 2", policy_);
    const auto governors = files.read(dir_ / "scaling_available_governors");
    userspace_ = governors && contains_word(*governors, "userspace");
    auto khz = frequencies_of(files, dir_, options_.steps);
    if (!khz)
      return core::fail(khz);
    khz_ = std::move(*khz);
    knob_.name = policy_ == policies.front() ? "cpu_frequency" : "cpu_frequency." + policy_;
    knob_.host = options_.host;
    knob_.unit = "Hz";
    for (long f : khz_) knob_.levels.push_back({label_of(f), static_cast<double>(f) * 1e3});
    const fs::path set = dir_ / (userspace_ ? "scaling_governor" : "scaling_max_freq");
    if (!files.exists(set))
      return core::fail(core::Errc::unsupported, "the policy's frequency cannot be set",
                        set.string());
    if (!files.writable(set))
      return core::fail(core::Errc::permission_denied, "the policy's frequency may not be set",
                        set.string(), "run as root, or give this user write access to the policy");
    return {};
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }
  [[nodiscard]] bool userspace() const { return userspace_; }

  core::Result<void> apply(core::LevelIndex level) override {
    if (level >= khz_.size())
      return core::fail(
          core::Errc::invalid_argument,
          "no level " + std::to_string(level) + "; there are " + std::to_string(khz_.size()),
          knob_.name);
    // Boost that is switched, a driver that is loaded anew: the list of the profile is no more.
    if (auto offered = check_offered(*machine_.files, dir_ / "scaling_available_frequencies",
                                     khz_[level], knob_.levels[level].label);
        !offered)
      return offered;
    if (!journal_) {
      auto journal = Journal::open(options_.state_dir, "cpufreq-" + policy_, machine_.files);
      if (!journal)
        return core::fail(journal);
      journal_ = std::move(*journal);
    }
    return userspace_ ? set_speed(khz_[level]) : clamp_to(khz_[level]);
  }

  core::Result<std::optional<core::LevelIndex>> current() override {
    Files& files = *machine_.files;
    long khz = 0;
    if (userspace_) {
      const auto governor = files.read(dir_ / "scaling_governor");
      if (!governor)
        return core::fail(governor);
      if (*governor != "userspace")
        return std::nullopt;
      const auto speed = read_number<long>(files, dir_ / "scaling_setspeed");
      if (!speed)
        return core::fail(speed);
      khz = *speed;
    } else {
      const auto least = read_number<long>(files, dir_ / "scaling_min_freq");
      if (!least)
        return core::fail(least);
      const auto most = read_number<long>(files, dir_ / "scaling_max_freq");
      if (!most)
        return core::fail(most);
      if (*least != *most)
        return std::nullopt;
      khz = *most;
    }
    const auto found = std::find(khz_.begin(), khz_.end(), khz);
    if (found == khz_.end())
      return std::nullopt;
    return static_cast<core::LevelIndex>(found - khz_.begin());
  }

  core::Result<void> restore() override {
    if (!journal_)
      return {};
    auto undone = journal_->undo();
    if (undone) {
      journal_.reset();
      found_userspace_ = -1;
    }
    return undone;
  }

 private:
  core::Result<void> set(const std::string& file, const std::string& value) {
    return set_and_verify(*machine_.files, *journal_, dir_ / file, value);
  }

  core::Result<void> set_speed(long khz) {
    Files& files = *machine_.files;
    // The speed is kept within the policy's limits, which somebody may have narrowed.
    if (auto wide = widen_to(khz); !wide)
      return wide;
    const auto governor = files.read(dir_ / "scaling_governor");
    if (!governor)
      return core::fail(governor);
    if (*governor != "userspace")
      if (auto switched = set("scaling_governor", "userspace"); !switched)
        return switched;
    // Under another governor scaling_setspeed reads "<unsupported>", so what it holds now matters
    // only if the policy was found under userspace.
    if (found_userspace_ < 0)
      found_userspace_ = *governor == "userspace" ? 1 : 0;
    if (found_userspace_ == 1)
      return set("scaling_setspeed", std::to_string(khz));
    return write_and_verify(files, dir_ / "scaling_setspeed", std::to_string(khz));
  }

  core::Result<void> widen_to(long khz) {
    Files& files = *machine_.files;
    const auto least = read_number<long>(files, dir_ / "scaling_min_freq");
    if (!least)
      return core::fail(least);
    if (khz < *least)
      return set("scaling_min_freq", std::to_string(khz));
    const auto most = read_number<long>(files, dir_ / "scaling_max_freq");
    if (!most)
      return core::fail(most);
    if (khz > *most)
      return set("scaling_max_freq", std::to_string(khz));
    return {};
  }

  core::Result<void> clamp_to(long khz) {
    return clamp(*machine_.files, *journal_, dir_ / "scaling_min_freq", dir_ / "scaling_max_freq",
                 khz);
  }

  std::string policy_;
  CpufreqOptions options_;
  Machine machine_;
  fs::path dir_;
  bool userspace_ = false;
  int found_userspace_ = -1;  // was the policy under userspace before us? -1: not looked yet
  std::vector<long> khz_;
  core::Knob knob_;
  std::optional<Journal> journal_;
};

}  // namespace

core::Result<std::unique_ptr<CpufreqGovernor>> CpufreqGovernor::open(const std::string& policy,
                                                                     CpufreqOptions options,
                                                                     Machine machine) {
  auto impl = std::make_unique<Cpufreq>(policy, std::move(options), std::move(machine));
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  const std::string method = impl->userspace() ? "userspace" : "clamp";
  return std::unique_ptr<CpufreqGovernor>(new CpufreqGovernor(std::move(impl), method));
}

}  // namespace cleave::inline v0::device
