#include "lib/device/parse.hpp"

#include <cleave/device/sensors.hpp>

#include <algorithm>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

// "some avg10=0.02 avg60=... total=..." and "full ..." lines, in percent.
std::optional<Pressure> read_pressure(Files& files, const fs::path& path) {
  const auto text = files.read(path);
  if (!text)
    return std::nullopt;
  Pressure pressure;
  bool found = false;
  for (std::string_view line : lines(*text)) {
    const auto fields = words(line);
    if (fields.size() < 2 || !fields[1].starts_with("avg10="))
      continue;
    const auto percent = parse_number<double>(fields[1].substr(6));
    if (!percent || !(*percent >= 0 && *percent <= 100))
      return std::nullopt;
    if (fields[0] == "some") {
      pressure.some = *percent / 100;
      found = true;
    } else if (fields[0] == "full") {
      pressure.full = *percent / 100;
    }
  }
  return found ? std::optional(pressure) : std::nullopt;
}

// "MemTotal:  8000 kB"
std::optional<core::Bytes> memory_field(std::string_view text, std::string_view name) {
  for (std::string_view line : lines(text)) {
    const auto fields = words(line);
    if (fields.size() >= 2 && fields[0] == name)
      if (const auto kib = parse_number<double>(fields[1]); kib && *kib >= 0)
        return core::Bytes(*kib * 1024);
  }
  return std::nullopt;
}

bool is_cpu_zone(std::string_view type) {
  for (std::string_view word : {"cpu", "CPU", "x86_pkg_temp", "soc", "SoC", "coretemp"})
    if (type.find(word) != std::string_view::npos)
      return true;
  return false;
}

// The hottest thermal zone of the CPU; of all zones if none says that it is the CPU's.
std::optional<double> read_temperature(Files& files, const fs::path& zones) {
  std::optional<double> cpu, any;
  for (const std::string& zone : files.list(zones)) {
    if (!zone.starts_with("thermal_zone"))
      continue;
    const auto milli = read_number<double>(files, zones / zone / "temp");
    if (!milli)
      continue;
    const double celsius = *milli / 1000;
    any = std::max(any.value_or(celsius), celsius);
    const auto type = files.read(zones / zone / "type");
    if (type && is_cpu_zone(*type))
      cpu = std::max(cpu.value_or(celsius), celsius);
  }
  return cpu ? cpu : any;
}

}  // namespace

LoadSensor::LoadSensor(Machine machine) : machine_(std::move(machine)) {}

LoadReading LoadSensor::read() {
  Files& files = *machine_.files;
  LoadReading reading;
  if (const auto stat = files.read(machine_.proc / "stat"); stat && stat->starts_with("cpu ")) {
    for (std::string_view line : lines(*stat))
      reading.cpus += line.size() > 3 && line.starts_with("cpu") && line[3] != ' ' ? 1 : 0;
    // user nice system idle iowait irq softirq steal [guest guest_nice, contained in user and nice]
    const auto fields = words(std::string_view(*stat).substr(0, stat->find('\n')));
    std::vector<std::uint64_t> ticks;
    for (std::size_t i = 1; i < fields.size() && i <= 8; ++i)
      if (const auto value = parse_number<std::uint64_t>(fields[i]))
        ticks.push_back(*value);
    if (ticks.size() >= 4 && ticks.size() + 1 == std::min<std::size_t>(fields.size(), 9)) {
      ticks.resize(8);
      std::uint64_t total = 0;
      for (std::uint64_t t : ticks) total += t;
      const std::uint64_t busy = total - ticks[3] - ticks[4] - ticks[7];
      // iowait may go backwards (proc(5)); such an interval tells nothing.
      if (primed_ && total > total_ && busy >= busy_ && ticks[7] >= stolen_) {
        const auto span = static_cast<double>(total - total_);
        reading.utilisation = std::min(static_cast<double>(busy - busy_) / span, 1.0);
        reading.steal = std::min(static_cast<double>(ticks[7] - stolen_) / span, 1.0);
      }
      busy_ = busy;
      stolen_ = ticks[7];
      total_ = total;
      primed_ = true;
    }
  }
  reading.cpu_pressure = read_pressure(files, machine_.proc / "pressure/cpu");
  reading.memory_pressure = read_pressure(files, machine_.proc / "pressure/memory");
  if (const auto memory = files.read(machine_.proc / "meminfo")) {
    reading.memory_total = memory_field(*memory, "MemTotal:");
    reading.memory_available = memory_field(*memory, "MemAvailable:");
  }
  reading.temperature = read_temperature(files, machine_.sys / "class/thermal");
  return reading;
}

}  // namespace cleave::inline v0::device
