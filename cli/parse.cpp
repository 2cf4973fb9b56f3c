#include "cli/parse.hpp"

#include <charconv>
#include <cmath>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

// A leading number and the word behind it.
struct Measure {
  double number;
  std::string_view unit;
};

core::Result<Measure> parse_measure(std::string_view text, std::string_view what) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0)
    return fail(Errc::invalid_argument, "not " + std::string(what), std::string(text));
  std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return Measure{number, unit};
}

}  // namespace

core::Result<std::vector<std::int64_t>> parse_sizes(std::string_view text) {
  std::vector<std::int64_t> sizes;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find('x', at), text.size());
    std::int64_t size = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, size);
    if (error != std::errc() || stop != text.data() + end || size < 1 || size > (1 << 20))
      return fail(Errc::invalid_argument, "not a shape", std::string(text),
                  "write it like 1x3x224x224");
    sizes.push_back(size);
    at = end + 1;
  }
  return sizes;
}

core::Result<core::Seconds> parse_duration(std::string_view text) {
  const auto measure = parse_measure(text, "a duration");
  if (!measure)
    return fail(measure);
  if (measure->unit.empty() || measure->unit == "ms")
    return core::milliseconds(measure->number);
  if (measure->unit == "us")
    return core::microseconds(measure->number);
  if (measure->unit == "s")
    return core::Seconds(measure->number);
  return fail(Errc::invalid_argument, "not a duration", std::string(text),
              "write it like 250us, 5ms or 2s");
}

core::Result<core::BytesPerSecond> parse_rate(std::string_view text) {
  const auto measure = parse_measure(text, "a rate");
  if (!measure)
    return fail(measure);
  if (measure->number > 0) {
    if (measure->unit.empty() || measure->unit == "mbit" || measure->unit == "Mbit/s")
      return core::megabits_per_second(measure->number);
    if (measure->unit == "kbit")
      return core::megabits_per_second(measure->number * 1e-3);
    if (measure->unit == "gbit")
      return core::megabits_per_second(measure->number * 1e3);
    if (measure->unit == "MB")
      return core::BytesPerSecond(measure->number * 1e6);
  }
  return fail(Errc::invalid_argument, "not a rate", std::string(text),
              "write it like 20mbit, 500kbit, 1gbit or 2.5MB (per second)");
}

core::Result<core::Boundary> parse_boundary(std::string_view text) {
  using core::Boundary;
  for (const Boundary boundary :
       {Boundary::edge, Boundary::edge_cloud_device, Boundary::edge_cloud_machine})
    if (text == to_string(boundary))
      return boundary;
  if (text == "device")
    return Boundary::edge_cloud_device;
  if (text == "machine")
    return Boundary::edge_cloud_machine;
  return fail(Errc::invalid_argument, "not an energy boundary", std::string(text),
              "one of edge, device, machine");
}

std::vector<std::string> split_list(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(separator, at), text.size());
    if (end > at)
      parts.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

core::Result<Address> parse_address(std::string_view text) {
  Address address{"127.0.0.1", 0};
  const std::size_t colon = text.rfind(':');
  std::string_view port = text;
  if (colon != std::string_view::npos) {
    std::string_view host = text.substr(0, colon);
    port = text.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
      host = host.substr(1, host.size() - 2);
    if (!host.empty())
      address.host = host;
  }
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || error != std::errc() || end != port.data() + port.size())
    return fail(Errc::invalid_argument, "not an address", std::string(text),
                "write it like 192.0.2.1:7070");
  return address;
}

}  // namespace cleave::cli
