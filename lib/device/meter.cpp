#include "lib/device/parse.hpp"

#include <cleave/device/meter.hpp>
#include <cleave/device/sampling.hpp>

#include <algorithm>
#include <cmath>
#include <map>
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

EnergyReading between(const EnergyReading& from, const EnergyReading& to) {
  EnergyReading used = to;
  used.joules -= from.joules;
  used.overhead -= from.overhead;
  const double before = from.error.count(), after = to.error.count();
  used.error = core::Joules(std::sqrt(std::max(after * after - before * before, 0.0)));
  return used;
}

class RaplMeter::Impl {
 public:
  Impl(Machine machine, core::Boundary boundary)
      : machine_(std::move(machine)), boundary_(boundary) {}

  core::Result<void> look() {
    Files& files = *machine_.files;
    const fs::path zones = machine_.sys / "class/powercap";
    std::map<std::string, std::string> packages;  // by zone
    for (const std::string& zone : files.list(zones)) {
      // "intel-rapl:0" is a package, "intel-rapl:0:0" a part of it; intel-rapl-mmio repeats package
      // 0 by another way.
      if (!zone.starts_with("intel-rapl:"))
        continue;
      const auto name = files.read(zones / zone / "name");
      if (!name)
        return core::fail(name);
      const auto colon = zone.rfind(':');
      const bool top = colon == std::string_view("intel-rapl").size();
      if (top)
        packages[zone] = *name;
      const std::string full = top ? *name : packages[zone.substr(0, colon)] + "/" + *name;
      auto meter = open_zone(full, zones / zone);
      if (!meter)
        return core::fail(meter);
      (name->starts_with(top ? "package" : "dram") ? counted_ : parts_)
          .push_back(std::move(*meter));
    }
    if (counted_.empty())
      return core::fail(core::Errc::not_found, "no RAPL package domain", zones.string(),
                        "load the module intel_rapl_msr; virtual machines have none");
    return {};
  }

  core::Result<EnergyReading> read() {
    EnergyReading sum;
    sum.boundary = boundary_;
    sum.origin = core::Origin::measured;
    sum.source = "RAPL";
    for (const auto& domain : counted_) {
      const auto reading = domain->read();
      if (!reading)
        return core::fail(reading);
      sum.joules += reading->joules;
      sum.resolution += reading->resolution;
      sum.source += " " + domain->name();
    }
    return sum;
  }

  [[nodiscard]] std::vector<std::string> domains() const {
    std::vector<std::string> names;
    for (const auto& domain : counted_) names.push_back(domain->name());
    return names;
  }
  [[nodiscard]] std::vector<Meter*> parts() const {
    std::vector<Meter*> meters;
    for (const auto& part : parts_) meters.push_back(part.get());
    return meters;
  }

 private:
  core::Result<std::unique_ptr<CounterMeter>> open_zone(const std::string& name,
                                                        const fs::path& zone) {
    const auto range = read_number<double>(*machine_.files, zone / "max_energy_range_uj");
    if (!range)
      return core::fail(range);
    CounterSource source;
    source.name = name;
    source.source = (zone / "energy_uj").string();
    source.read = [files = machine_.files, path = zone / "energy_uj"] {
      auto value = read_number<double>(*files, path);
      if (!value && value.error().code == core::Errc::permission_denied)
        value.error().hint = rapl_hint;
      return value;
    };
    source.unit = core::Joules(1e-6);
    // The usual energy status unit, 2^-14 J (Intel SDM volume 3B, MSR_RAPL_POWER_UNIT).
    source.resolution = core::Joules(1.0 / 16384);
    source.range = *range;
    // Roughly (Intel SDM volume 3B, "RAPL Interfaces").
    source.update = core::milliseconds(1);
    return CounterMeter::open(std::move(source), boundary_);
  }

  Machine machine_;
  core::Boundary boundary_;
  std::vector<std::unique_ptr<CounterMeter>> counted_, parts_;
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
std::vector<std::string> RaplMeter::domains() const {
  return impl_->domains();
}
std::vector<Meter*> RaplMeter::parts() const {
  return impl_->parts();
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
