#include <cleave/core/parse_units.hpp>

#include <charconv>
#include <cmath>
#include <initializer_list>
#include <string>

namespace cleave::inline v0::core {
namespace {

struct Unit {
  std::string_view name;
  double size;
};

Result<double> parse_quantity(std::string_view text, double plain,
                              std::initializer_list<Unit> units, const char* what,
                              const char* hint) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && std::isfinite(number) && number >= 0) {
    std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
    while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
    double size = unit.empty() ? plain : 0;
    for (const Unit& known : units)
      if (known.name == unit)
        size = known.size;
    if (size > 0 && std::isfinite(number * size))
      return number * size;
  }
  return fail(Errc::invalid_argument, std::string("not ") + what, std::string(text.substr(0, 40)),
              hint);
}

}  // namespace

Result<Seconds> parse_duration(std::string_view text, Seconds plain) {
  const auto seconds = parse_quantity(
      text, plain.count(), {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}, {"min", 60}, {"h", 3600}},
      "a duration", "write it like 250us, 5ms, 2s or 3min");
  return seconds ? Result<Seconds>(Seconds(*seconds)) : fail(seconds);
}

Result<BytesPerSecond> parse_rate(std::string_view text, BytesPerSecond plain) {
  const auto rate =
      parse_quantity(text, plain.count(),
                     {{"bit", 1.0 / 8},
                      {"kbit", 1e3 / 8},
                      {"mbit", 1e6 / 8},
                      {"Mbit/s", 1e6 / 8},
                      {"gbit", 1e9 / 8},
                      {"MB", 1e6}},
                     "a rate", "write it like 20mbit, 500kbit, 1gbit or 2.5MB (per second)");
  return rate ? Result<BytesPerSecond>(BytesPerSecond(*rate)) : fail(rate);
}

Result<Bytes> parse_bytes(std::string_view text) {
  const auto bytes = parse_quantity(
      text, 1, {{"B", 1}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024}, {"MiB", 1048576}},
      "a number of bytes", "write it like 1500, 64KiB or 2.5MB");
  return bytes ? Result<Bytes>(Bytes(*bytes)) : fail(bytes);
}

}  // namespace cleave::inline v0::core
