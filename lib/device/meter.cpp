#include "lib/device/parse.hpp"

#include <cleave/device/meter.hpp>

#include <algorithm>
#include <mutex>
#include <stdexcept>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* rapl_hint =
    "since Linux 5.10 energy_uj is readable by root only (CVE-2020-8694): run as root, or "
    "chmod o+r energy_uj if you trust the local users";

}  // namespace

Meter::~Meter() = default;

class RaplMeter::Impl {
 public:
  struct Package {
    std::string name;
    fs::path counter;
    double last_uj = 0;
    double range_uj = 0;
  };

  Impl(Machine machine, core::Boundary boundary)
      : machine_(std::move(machine)), boundary_(boundary) {}

  core::Result<void> look() {
    Files& files = *machine_.files;
    const fs::path zones = machine_.sys / "class/powercap";
    for (const std::string& zone : files.list(zones)) {
      // "intel-rapl:0" is a package, "intel-rapl:0:0" a part of it; intel-rapl-mmio repeats package
      // 0 by another way, and the psys zone contains the packages.
      if (!zone.starts_with("intel-rapl:") || std::count(zone.begin(), zone.end(), ':') != 1)
        continue;
      const auto name = files.read(zones / zone / "name");
      if (!name || !name->starts_with("package"))
        continue;
      Package package{*name, zones / zone / "energy_uj"};
      const auto range = read_number<double>(files, zones / zone / "max_energy_range_uj");
      if (!range)
        return core::fail(range);
      package.range_uj = *range;
      const auto now = counter(package);
      if (!now)
        return core::fail(now);
      package.last_uj = *now;
      packages_.push_back(std::move(package));
    }
    if (packages_.empty())
      return core::fail(core::Errc::not_found, "no RAPL package domain", zones.string(),
                        "load the module intel_rapl_msr; virtual machines have none");
    return {};
  }

  core::Result<EnergyReading> read() {
    const std::lock_guard lock(mutex_);
    for (Package& package : packages_) {
      const auto now = counter(package);
      if (!now)
        return core::fail(now);
      double used = *now - package.last_uj;
      if (used < 0)
        used += package.range_uj;
      if (used < 0)
        return core::fail(core::Errc::corrupt, "the counter went back by more than its range",
                          package.counter.string());
      package.last_uj = *now;
      total_uj_ += used;
    }
    EnergyReading reading;
    reading.joules = core::Joules(total_uj_ * 1e-6);
    reading.boundary = boundary_;
    reading.origin = core::Origin::measured;
    // The usual energy status unit, 2^-14 J (Intel SDM volume 3B, MSR_RAPL_POWER_UNIT).
    reading.resolution = core::Joules(1.0 / 16384 * static_cast<double>(packages_.size()));
    reading.source = "RAPL";
    for (const Package& package : packages_) reading.source += " " + package.name;
    return reading;
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Package& package : packages_) names.push_back(package.name);
    return names;
  }

 private:
  core::Result<double> counter(const Package& package) {
    auto value = read_number<double>(*machine_.files, package.counter);
    if (!value && value.error().code == core::Errc::permission_denied)
      value.error().hint = rapl_hint;
    if (value && !(*value >= 0))
      return core::fail(core::Errc::corrupt, "not an energy", package.counter.string());
    return value;
  }

  std::mutex mutex_;
  Machine machine_;
  core::Boundary boundary_;
  std::vector<Package> packages_;
  double total_uj_ = 0;
};

RaplMeter::RaplMeter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RaplMeter::~RaplMeter() = default;

core::Result<std::unique_ptr<RaplMeter>> RaplMeter::open(Machine machine, core::Boundary boundary) {
  auto impl = std::make_unique<Impl>(std::move(machine), boundary);
  if (auto looked = impl->look(); !looked)
    return core::fail(looked);
  return std::unique_ptr<RaplMeter>(new RaplMeter(std::move(impl)));
}

core::Result<EnergyReading> RaplMeter::read() {
  return impl_->read();
}
std::vector<std::string> RaplMeter::packages() const {
  return impl_->names();
}

class ModelledMeter::Impl {
 public:
  Impl(Board board, core::Boundary boundary, const std::string& radio, core::BytesPerSecond rate)
      : board_(std::move(board)), boundary_(boundary) {
    if (radio.empty())
      return;
    const Radio* found = board_.radio(radio);
    if (found == nullptr)
      throw std::invalid_argument("ModelledMeter: " + board_.name + " has no radio " + radio);
    const bool based = rate.count() > 0;
    transmit_ = based ? found->transmit_at(rate) : found->transmit;
    receive_ = based ? found->receive_at(rate) : found->receive;
  }

  [[nodiscard]] core::Watts power(const Activity& activity) const {
    return boundary_ == core::Boundary::edge_cloud_machine
               ? board_.machine_power(activity.level, activity.active_cores, activity.utilisation)
               : board_.power(activity.level, activity.active_cores, activity.utilisation);
  }

  core::Joules add(core::Joules joules) {
    const std::lock_guard lock(mutex_);
    total_ += joules;
    return joules;
  }

  core::Joules total() {
    const std::lock_guard lock(mutex_);
    return total_;
  }

  [[nodiscard]] core::Joules transfer(core::Bytes sent, core::Bytes received) const {
    return transmit_ * std::max(sent, core::Bytes(0)) +
           receive_ * std::max(received, core::Bytes(0));
  }

  [[nodiscard]] const Board& board() const { return board_; }
  [[nodiscard]] core::Boundary boundary() const { return boundary_; }

 private:
  std::mutex mutex_;
  Board board_;
  core::Boundary boundary_;
  core::JoulesPerByte transmit_, receive_;
  core::Joules total_;
};

ModelledMeter::ModelledMeter(Board board, core::Boundary boundary, const std::string& radio,
                             core::BytesPerSecond rate)
    : impl_(std::make_unique<Impl>(std::move(board), boundary, radio, rate)) {}
ModelledMeter::~ModelledMeter() = default;

std::string ModelledMeter::name() const {
  return "model:" + impl_->board().name;
}

core::Result<EnergyReading> ModelledMeter::read() {
  EnergyReading reading;
  reading.joules = impl_->total();
  reading.boundary = impl_->boundary();
  reading.origin = core::Origin::modelled;
  reading.source = impl_->board().title + " (" + impl_->board().citation() + ")";
  return reading;
}

core::Joules ModelledMeter::account(const Activity& activity, core::Seconds duration) {
  return impl_->add(impl_->power(activity) * std::max(duration, core::Seconds(0)));
}

core::Joules ModelledMeter::account_transfer(core::Bytes sent, core::Bytes received) {
  return impl_->add(impl_->transfer(sent, received));
}

core::Watts ModelledMeter::power(const Activity& activity) const {
  return impl_->power(activity);
}
const Board& ModelledMeter::board() const {
  return impl_->board();
}

}  // namespace cleave::inline v0::device
