#include "cli/parse.hpp"

#include <charconv>

namespace cleave::cli {
namespace {

using core::Errc;
using core::fail;

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

core::Result<core::Origin> parse_origin(std::string_view text) {
  for (const core::Origin origin : {core::Origin::measured, core::Origin::modelled})
    if (text == to_string(origin))
      return origin;
  return fail(Errc::invalid_argument, "not an origin of energies", std::string(text),
              "one of measured, modelled");
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
