#include "lib/device/parse.hpp"

#include <cleave/device/hwmon.hpp>

#include <map>
#include <set>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;
using Kind = HwmonSensor::Kind;

// "power12_input" with "power" and "_input" is 12.
std::optional<int> channel_of(std::string_view file, std::string_view before,
                              std::string_view after) {
  if (!file.starts_with(before) || !file.ends_with(after) ||
      file.size() <= before.size() + after.size())
    return std::nullopt;
  return parse_number<int>(file.substr(before.size(), file.size() - before.size() - after.size()));
}

std::string numbered(std::string_view before, int channel, std::string_view after) {
  return std::string(before) + std::to_string(channel) + std::string(after);
}

std::string_view prefix_of(Kind kind) {
  return kind == Kind::energy ? "energy" : kind == Kind::product ? "in" : "power";
}

std::string label_of(Files& files, const fs::path& dir, Kind kind, int channel) {
  const auto label = files.read(dir / numbered(prefix_of(kind), channel, "_label"));
  return label ? *label : "";
}

// Do inN and currN belong together? On an INA3221 they do
// (Documentation/devicetree/bindings/hwmon/ti,ina3221.yaml, "input@N"), elsewhere equal labels say
// so.
bool same_rail(Files& files, const fs::path& dir, const std::string& chip, int channel) {
  if (chip == "ina3221")
    return channel <= 3;  // in4 to in7 are shunts
  const auto volts = files.read(dir / numbered("in", channel, "_label"));
  const auto amperes = files.read(dir / numbered("curr", channel, "_label"));
  return volts && amperes && !volts->empty() && *volts == *amperes;
}

bool switched_off(Files& files, const fs::path& dir, std::string_view prefix, int channel) {
  const auto enabled = files.read(dir / numbered(prefix, channel, "_enable"));
  return enabled && *enabled == "0";
}

void add_chip(Files& files, const fs::path& root, const std::string& folder,
              std::vector<HwmonSensor>& found) {
  const fs::path dir = root / folder;
  const auto name = files.read(dir / "name");
  const std::string chip = name && !name->empty() ? *name : folder;
  const std::vector<std::string> names = files.list(dir);
  const std::set<std::string> there(names.begin(), names.end());
  std::map<int, Kind> channels, rails;
  for (const std::string& file : names) {
    // What stands first is kept: a counter misses nothing between two looks.
    if (const auto n = channel_of(file, "energy", "_input"))
      channels.emplace(*n, Kind::energy);
    if (const auto n = channel_of(file, "power", "_input"))
      channels.emplace(*n, Kind::power);
    if (const auto n = channel_of(file, "power", "_average"))
      channels.emplace(
          *n, there.contains(numbered("power", *n, "_input")) ? Kind::power : Kind::power_average);
    const auto n = channel_of(file, "in", "_input");
    if (n && there.contains(numbered("curr", *n, "_input")) && same_rail(files, dir, chip, *n))
      rails.emplace(*n, Kind::product);
  }
  if (channels.empty())
    channels = rails;
  for (const auto& [channel, kind] : channels) {
    if (switched_off(files, dir, prefix_of(kind), channel))
      continue;
    HwmonSensor sensor;
    sensor.chip = chip;
    sensor.folder = folder;
    sensor.kind = kind;
    sensor.channel = channel;
    sensor.label = label_of(files, dir, kind, channel);
    sensor.name = "hwmon:" + chip + "/" +
                  (sensor.label.empty()
                       ? numbered(kind == Kind::product ? "rail" : prefix_of(kind), channel, "")
                       : sensor.label);
    found.push_back(std::move(sensor));
  }
}

// A number of the kernel's in its small unit, as a number of the whole one.
core::Result<double> read_scaled(Files& files, const fs::path& path, double scale) {
  const auto value = read_number<long long>(files, path);
  if (!value)
    return core::fail(value);
  return static_cast<double>(*value) * scale;
}

core::Seconds averaging_of(Files& files, const fs::path& dir, const HwmonSensor& sensor) {
  const fs::path file = dir / (sensor.kind == Kind::power_average
                                   ? numbered("power", sensor.channel, "_average_interval")
                                   : "update_interval");
  const auto milli = read_scaled(files, file, 1e-3);
  return milli && *milli > 0 ? core::Seconds(*milli) : core::Seconds();
}

}  // namespace

std::vector<HwmonSensor> hwmon_sensors(const Machine& machine) {
  Files& files = *machine.files;
  const fs::path root = machine.sys / "class/hwmon";
  std::vector<HwmonSensor> found;
  // Batteries appear here a second time, without their status (drivers/power/supply/
  // power_supply_hwmon.c, which writes _ for -): they are meters of another kind.
  std::set<std::string> supplies;
  for (std::string supply : files.list(machine.sys / "class/power_supply")) {
    std::replace(supply.begin(), supply.end(), '-', '_');
    supplies.insert(supply);
  }
  for (const std::string& folder : files.list(root)) {
    const auto name = files.read(root / folder / "name");
    if (!name || !supplies.contains(*name))
      add_chip(files, root, folder, found);
  }
  std::map<std::string, int> uses;
  for (const HwmonSensor& sensor : found) ++uses[sensor.name];
  for (HwmonSensor& sensor : found)
    if (uses[sensor.name] > 1)
      sensor.name += "@" + sensor.folder;
  return found;
}

core::Result<std::unique_ptr<Meter>> open_hwmon_meter(const HwmonSensor& sensor,
                                                      SamplingOptions options, Machine machine,
                                                      core::Boundary boundary) {
  const fs::path dir = machine.sys / "class/hwmon" / sensor.folder;
  const auto files = machine.files;
  if (sensor.kind == Kind::energy) {
    const fs::path path = dir / numbered("energy", sensor.channel, "_input");
    CounterSource source;
    source.name = sensor.name;
    source.source = path.string();
    source.read = [files, path] { return read_scaled(*files, path, 1); };
    source.unit = core::Joules(1e-6);
    source.resolution = core::Joules(1e-6);
    return CounterMeter::open(std::move(source), boundary);
  }
  PowerSource source;
  source.name = sensor.name;
  source.averaging = averaging_of(*files, dir, sensor);
  if (sensor.kind == Kind::product) {
    const fs::path volts = dir / numbered("in", sensor.channel, "_input");
    const fs::path amperes = dir / numbered("curr", sensor.channel, "_input");
    source.source = volts.string() + " * " + amperes.filename().string();
    source.read = [files, volts, amperes]() -> core::Result<core::Watts> {
      const auto v = read_scaled(*files, volts, 1e-3);
      if (!v)
        return core::fail(v);
      const auto a = read_scaled(*files, amperes, 1e-3);
      if (!a)
        return core::fail(a);
      return core::Watts(*v * *a);
    };
  } else {
    const fs::path path =
        dir / numbered("power", sensor.channel,
                       sensor.kind == Kind::power_average ? "_average" : "_input");
    source.source = path.string();
    source.read = [files, path]() -> core::Result<core::Watts> {
      const auto w = read_scaled(*files, path, 1e-6);
      if (!w)
        return core::fail(w);
      return core::Watts(*w);
    };
  }
  return SamplingMeter::open(std::move(source), std::move(options), boundary);
}

}  // namespace cleave::inline v0::device
