#include "lib/device/parse.hpp"
#include "lib/device/run_command.hpp"

#include <cleave/device/command.hpp>

#include <cmath>
#include <utility>

namespace cleave::inline v0::device {
namespace {

struct Unit {
  std::string_view name;
  bool energy;
  double scale;
};
constexpr Unit units[] = {{"W", false, 1},      {"mW", false, 1e-3}, {"uW", false, 1e-6},
                          {"J", true, 1},       {"mJ", true, 1e-3},  {"uJ", true, 1e-6},
                          {"Wh", true, 3600.0}, {"kWh", true, 3.6e6}};

// "12.5", "12.5 W" or "12.5W", in watts or joules.
core::Result<double> parse_figure(const std::string& text, bool energy,
                                  const std::string& command) {
  const auto end = text.find_first_not_of("+-0123456789.eE");
  std::string_view number = std::string_view(text).substr(0, end);
  const auto value = parse_number<double>(number);
  const auto rest =
      words(end == std::string::npos ? std::string_view() : std::string_view(text).substr(end));
  if (!value || !std::isfinite(*value) || rest.size() > 1)
    return core::fail(core::Errc::corrupt, "it printed no number: \"" + text.substr(0, 40) + "\"",
                      command, "it must print one number, such as 12.5 or 12.5 W");
  if (rest.empty())
    return *value;
  for (const Unit& unit : units)
    if (unit.name == rest[0]) {
      if (unit.energy != energy)
        return core::fail(core::Errc::invalid_argument,
                          std::string(energy ? "joules were expected, and it printed "
                                             : "watts were expected, and it printed ") +
                              std::string(rest[0]),
                          command, "say whether the command prints a power or an energy");
      return *value * unit.scale;
    }
  return core::fail(core::Errc::corrupt, "unknown unit \"" + std::string(rest[0]) + "\"", command,
                    "W, mW, uW, J, mJ, uJ, Wh and kWh are known");
}

}  // namespace

core::Result<std::unique_ptr<Meter>> open_command_meter(CommandMeterOptions options,
                                                        SamplingOptions sampling) {
  if (words(options.command).empty())
    return core::fail(core::Errc::invalid_argument, "no command to read the meter with",
                      options.name);
  const bool energy = options.prints == CommandMeterOptions::Prints::energy;
  const auto read = [command = options.command, timeout = options.timeout,
                     energy]() -> core::Result<double> {
    const auto text = run_command(command, timeout);
    if (!text)
      return core::fail(text);
    return parse_figure(*text, energy, command);
  };
  if (energy) {
    CounterSource source;
    source.name = options.name;
    source.source = options.command;
    source.read = read;
    source.unit = core::Joules(1);
    source.resolution = options.resolution;
    return CounterMeter::open(std::move(source), options.boundary);
  }
  PowerSource source;
  source.name = options.name;
  source.source = options.command;
  source.read = [read]() -> core::Result<core::Watts> {
    const auto watts = read();
    if (!watts)
      return core::fail(watts);
    return core::Watts(*watts);
  };
  source.period = options.period;
  return SamplingMeter::open(std::move(source), std::move(sampling), options.boundary);
}

}  // namespace cleave::inline v0::device
