#include "lib/device/find_gpu.hpp"
#include "lib/device/parse.hpp"

#include <cleave/device/affinity.hpp>
#include <cleave/device/command.hpp>
#include <cleave/device/cpufreq.hpp>
#include <cleave/device/devfreq.hpp>
#include <cleave/device/open_governor.hpp>

#include <algorithm>
#include <utility>

namespace cleave::inline v0::device {
namespace {

using core::Errc;
using Opened = core::Result<std::unique_ptr<Governor>>;

constexpr std::string_view kinds =
    "cpufreq:POLICY, devfreq:DEVICE, cpus, gpu_clock:N, gpu_power:N and "
    "command:NAME:LEVEL,LEVEL:SET => GET are known";

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

std::string joined(const std::vector<std::string>& names) {
  std::string line;
  for (const std::string& name : names) line += (line.empty() ? "" : ", ") + name;
  return line;
}

bool names_level(const core::Level& level, const std::string& wanted) {
  return level.label == wanted ||
         (level.label.size() > wanted.size() && level.label[wanted.size()] == ' ' &&
          level.label.starts_with(wanted));
}

// Some of another governor's levels.
class KeptLevels final : public ForwardingGovernor {
 public:
  KeptLevels(std::unique_ptr<Governor> governor, std::vector<core::LevelIndex> kept)
      : ForwardingGovernor(std::move(governor)), kept_(std::move(kept)), knob_(inner().knob()) {
    knob_.levels.clear();
    for (const core::LevelIndex index : kept_) knob_.levels.push_back(inner().knob().levels[index]);
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }
  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override {
    if (level >= kept_.size())
      return core::fail(
          Errc::invalid_argument,
          "no level " + std::to_string(level) + "; there are " + std::to_string(kept_.size()),
          knob_.name);
    return inner().apply(kept_[level]);
  }
  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override {
    const auto now = inner().current();
    if (!now)
      return core::fail(now);
    const auto found = std::find(kept_.begin(), kept_.end(), *now);
    if (found == kept_.end())
      return std::nullopt;
    return static_cast<core::LevelIndex>(found - kept_.begin());
  }

 private:
  std::vector<core::LevelIndex> kept_;
  core::Knob knob_;
};

template <class T>
Opened as_governor(core::Result<std::unique_ptr<T>> opened) {
  if (!opened)
    return core::fail(opened);
  return std::unique_ptr<Governor>(std::move(*opened));
}

struct Opening {
  const KnobOptions& options;
  const Machine& machine;

  [[nodiscard]] Opened cpufreq(const std::string& name) const {
    const auto policies = cpufreq_policies(machine);
    if (policies.empty())
      return core::fail(Errc::unsupported, "this machine has no cpufreq driver", "cpufreq",
                        "emulate a board's frequency levels with --emulate-share");
    const std::string policy = name.empty() ? policies.front() : name;
    if (std::find(policies.begin(), policies.end(), policy) == policies.end())
      return core::fail(Errc::not_found, "there is no such frequency policy", "cpufreq:" + policy,
                        "there are " + joined(policies));
    CpufreqOptions cpufreq;
    cpufreq.host = options.host;
    cpufreq.state_dir = options.state_dir;
    return as_governor(CpufreqGovernor::open(policy, cpufreq, machine));
  }

  [[nodiscard]] Opened devfreq(const std::string& name) const {
    const auto devices = devfreq_devices(machine);
    if (devices.empty())
      return core::fail(Errc::unsupported, "this machine has no devfreq devices", "devfreq",
                        "boards have them; elsewhere there is nothing to set");
    if (name.empty() && devices.size() > 1)
      return core::fail(Errc::invalid_argument, "several devices have a clock to set", "devfreq",
                        "name one of " + joined(devices));
    const std::string device = name.empty() ? devices.front() : name;
    if (std::find(devices.begin(), devices.end(), device) == devices.end())
      return core::fail(Errc::not_found, "there is no such devfreq device", "devfreq:" + device,
                        "there are " + joined(devices));
    return as_governor(DevfreqGovernor::open(device, {options.host, options.state_dir}, machine));
  }

  [[nodiscard]] Opened cpus(const std::string& sets) const {
    AffinityOptions affinity;
    affinity.host = options.host;
    if (!sets.empty())
      for (const std::string& list : split(sets, '/')) {
        auto numbers = parse_cpu_list(list);
        if (!numbers)
          return core::fail(Errc::invalid_argument, "not a list of CPUs: " + list, "cpus:" + sets,
                            "write sets as 0-3/4,5/0-5");
        affinity.sets.push_back({list, std::move(*numbers)});
      }
    return as_governor(AffinityGovernor::open(std::move(affinity), machine));
  }

  [[nodiscard]] Opened gpu(const std::string& kind, const std::string& number) const {
    const auto found = find_gpu(kind, number.empty() ? "0" : number, machine);
    if (!found)
      return core::fail(found);
    GpuGovernorOptions gpu;
    gpu.host = options.host;
    gpu.state_dir = options.state_dir;
    return kind == "gpu_clock" ? open_gpu_clock_governor(found->nvml, found->gpu, gpu)
                               : open_gpu_power_governor(found->nvml, found->gpu, gpu);
  }

  [[nodiscard]] Opened command(const std::string& text) const {
    const auto wrong = [&](const std::string& what) {
      return core::fail(Errc::invalid_argument, what, "command:" + text,
                        "write command:NAME:LEVEL,LEVEL:SET => GET");
    };
    const auto name_end = text.find(':');
    const auto levels_end = name_end == std::string::npos ? name_end : text.find(':', name_end + 1);
    if (levels_end == std::string::npos)
      return wrong("a command's knob needs a name, levels and the command that sets one");
    CommandGovernorOptions command;
    command.host = options.host;
    command.state_dir = options.state_dir;
    command.name = text.substr(0, name_end);
    for (std::string level : split(text.substr(name_end + 1, levels_end - name_end - 1), ',')) {
      if (level.ends_with('@')) {
        level.pop_back();
        if (!command.initial.empty())
          return wrong("two levels are marked to be put back");
        command.initial = level;
      }
      command.levels.push_back(std::move(level));
    }
    constexpr std::string_view arrow = " => ";
    const std::string rest = text.substr(levels_end + 1);
    const auto at = rest.rfind(arrow);
    command.set = rest.substr(0, at);
    if (at != std::string::npos)
      command.get = rest.substr(at + arrow.size());
    return as_governor(CommandGovernor::open(std::move(command), machine));
  }

  [[nodiscard]] Opened one(const std::string& what) const {
    const auto colon = what.find(':');
    const std::string kind = what.substr(0, colon);
    const std::string rest = colon == std::string::npos ? "" : what.substr(colon + 1);
    if (kind == "cpufreq")
      return cpufreq(rest);
    if (kind == "devfreq")
      return devfreq(rest);
    if (kind == "cpus")
      return cpus(rest);
    if (kind == "gpu_clock" || kind == "gpu_power")
      return gpu(kind, rest);
    return core::fail(Errc::invalid_argument, "there is no such kind of knob", what,
                      std::string(kinds));
  }
};

}  // namespace

core::Result<std::unique_ptr<Governor>> keep_levels(std::unique_ptr<Governor> governor,
                                                    const std::vector<std::string>& wanted) {
  const core::Knob& knob = governor->knob();
  std::vector<core::LevelIndex> kept;
  std::vector<bool> used(wanted.size(), false);
  for (std::size_t i = 0; i < knob.levels.size(); ++i)
    for (std::size_t w = 0; w < wanted.size(); ++w)
      if (!used[w] && names_level(knob.levels[i], wanted[w])) {
        used[w] = true;
        kept.push_back(static_cast<core::LevelIndex>(i));
        break;
      }
  if (kept.empty() || kept.size() != wanted.size()) {
    std::string labels;
    for (const core::Level& level : knob.levels)
      labels += (labels.empty() ? "" : ", ") + level.label;
    return core::fail(Errc::invalid_argument, "the knob has no such level, or it is named twice",
                      knob.name, "it has " + labels);
  }
  return std::make_unique<KeptLevels>(std::move(governor), std::move(kept));
}

core::Result<std::unique_ptr<Governor>> open_governor(const std::string& description,
                                                      const KnobOptions& options,
                                                      const Machine& machine) {
  const Opening opening{options, machine};
  if (description.starts_with("command:"))
    return opening.command(description.substr(8));
  const auto equals = description.find('=');
  auto governor = opening.one(description.substr(0, equals));
  if (!governor || equals == std::string::npos)
    return governor;
  return keep_levels(std::move(*governor), split(description.substr(equals + 1), ','));
}

}  // namespace cleave::inline v0::device
