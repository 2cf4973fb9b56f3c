#include "lib/device/control.hpp"
#include "lib/device/parse.hpp"

#include <cleave/device/devfreq.hpp>
#include <cleave/device/journal.hpp>

#include <algorithm>
#include <cstdlib>
#include <optional>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

// Limits are kept in kHz, the minimum rounded down and the maximum up (drivers/devfreq/devfreq.c).
constexpr long tolerance_hz = 1000;

fs::path devices_of(const Machine& machine) {
  return machine.sys / "class/devfreq";
}

}  // namespace

std::vector<std::string> devfreq_devices(const Machine& machine) {
  return machine.files->list(devices_of(machine));
}

namespace {

class Devfreq final : public Governor {
 public:
  Devfreq(std::string device, DevfreqOptions options, Machine machine)
      : device_(std::move(device)),
        options_(std::move(options)),
        machine_(std::move(machine)),
        dir_(devices_of(machine_) / device_) {
    if (options_.state_dir.empty())
      options_.state_dir = default_state_dir();
  }

  ~Devfreq() override {
    // A failure leaves the journal, and recover() at the next start reports it.
    (void)restore();
  }
  Devfreq(const Devfreq&) = delete;
  Devfreq& operator=(const Devfreq&) = delete;

  core::Result<void> look() {
    Files& files = *machine_.files;
    if (!files.exists(dir_))
      return core::fail(core::Errc::not_found, "there is no such devfreq device", dir_.string());
    const auto text = files.read(list());
    if (!text && text.error().code != core::Errc::not_found)
      return core::fail(text);
    if (!text || text->empty())
      return core::fail(core::Errc::unsupported, "the device lists no frequencies",
                        list().string());
    auto hz = parse_frequencies(*text, list());
    if (!hz)
      return core::fail(hz);
    hz_ = std::move(*hz);
    std::sort(hz_.begin(), hz_.end());
    hz_.erase(std::unique(hz_.begin(), hz_.end()), hz_.end());
    knob_.name = "devfreq." + device_;
    knob_.host = options_.host;
    knob_.unit = "Hz";
    for (long f : hz_)
      knob_.levels.push_back(
          {std::to_string((f + 500'000) / 1'000'000) + " MHz", static_cast<double>(f)});
    return choose_method();
  }

  [[nodiscard]] const core::Knob& knob() const override { return knob_; }
  [[nodiscard]] bool userspace() const { return userspace_; }

  core::Result<void> apply(core::LevelIndex level) override {
    if (level >= hz_.size())
      return core::fail(
          core::Errc::invalid_argument,
          "no level " + std::to_string(level) + "; there are " + std::to_string(hz_.size()),
          knob_.name);
    Files& files = *machine_.files;
    if (auto offered = check_offered(files, list(), hz_[level], knob_.levels[level].label);
        !offered)
      return offered;
    if (!journal_) {
      auto journal = Journal::open(options_.state_dir, "devfreq-" + device_, machine_.files);
      if (!journal)
        return core::fail(journal);
      journal_ = std::move(*journal);
    }
    if (!userspace_)
      return clamp(files, *journal_, dir_ / "min_freq", dir_ / "max_freq", hz_[level],
                   tolerance_hz);
    return set_speed(std::to_string(hz_[level]));
  }

  core::Result<std::optional<core::LevelIndex>> current() override {
    Files& files = *machine_.files;
    long hz = 0;
    if (userspace_) {
      const auto governor = files.read(dir_ / "governor");
      if (!governor)
        return core::fail(governor);
      if (*governor != "userspace")
        return std::nullopt;
      // "undefined" until somebody has set it.
      const auto text = files.read(speed());
      if (!text)
        return core::fail(text);
      hz = parse_number<long>(*text).value_or(0);
    } else {
      const auto least = read_number<long>(files, dir_ / "min_freq");
      if (!least)
        return core::fail(least);
      const auto most = read_number<long>(files, dir_ / "max_freq");
      if (!most)
        return core::fail(most);
      if (*most - *least >= 2 * tolerance_hz)
        return std::nullopt;
      hz = *most;
    }
    for (std::size_t i = 0; i < hz_.size(); ++i)
      if (std::labs(hz_[i] - hz) < tolerance_hz)
        return static_cast<core::LevelIndex>(i);
    return std::nullopt;
  }

  core::Result<void> restore() override {
    if (!journal_)
      return {};
    auto undone = journal_->undo();
    if (undone) {
      journal_.reset();
      found_userspace_.reset();
    }
    return undone;
  }

 private:
  [[nodiscard]] fs::path list() const { return dir_ / "available_frequencies"; }
  [[nodiscard]] fs::path speed() const { return dir_ / "userspace/set_freq"; }

  core::Result<void> set_speed(const std::string& hz) {
    Files& files = *machine_.files;
    const auto governor = files.read(dir_ / "governor");
    if (!governor)
      return core::fail(governor);
    if (!found_userspace_)
      found_userspace_ = *governor == "userspace";
    if (auto switched = set_and_verify(files, *journal_, dir_ / "governor", "userspace"); !switched)
      return switched;
    // A speed of before matters only if the device was found under this governor.
    return *found_userspace_ ? set_and_verify(files, *journal_, speed(), hz)
                             : write_and_verify(files, speed(), hz);
  }

  core::Result<void> choose_method() {
    Files& files = *machine_.files;
    const bool limits = files.exists(dir_ / "min_freq") && files.exists(dir_ / "max_freq");
    if (limits && files.writable(dir_ / "min_freq") && files.writable(dir_ / "max_freq"))
      return {};
    const auto governors = files.read(dir_ / "available_governors");
    userspace_ = governors && contains_word(*governors, "userspace");
    if (userspace_ && files.writable(dir_ / "governor"))
      return {};
    if (limits || userspace_)
      return core::fail(core::Errc::permission_denied, "the device's frequency may not be set",
                        dir_.string(),
                        "run as root, or give this user write access to min_freq "
                        "and max_freq");
    return core::fail(core::Errc::unsupported, "the device's frequency cannot be set",
                      dir_.string());
  }

  std::string device_;
  DevfreqOptions options_;
  Machine machine_;
  fs::path dir_;
  bool userspace_ = false;
  std::optional<bool> found_userspace_;  // was it so before us?
  std::vector<long> hz_;
  core::Knob knob_;
  std::optional<Journal> journal_;
};

}  // namespace

core::Result<std::unique_ptr<DevfreqGovernor>> DevfreqGovernor::open(const std::string& device,
                                                                     DevfreqOptions options,
                                                                     Machine machine) {
  auto impl = std::make_unique<Devfreq>(device, std::move(options), std::move(machine));
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  const std::string method = impl->userspace() ? "userspace" : "clamp";
  return std::unique_ptr<DevfreqGovernor>(new DevfreqGovernor(std::move(impl), method));
}

}  // namespace cleave::inline v0::device
