// Reading what people type: sizes, rates, durations, addresses.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/parse_units.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::cli {

/// "1x3x224x224"
core::Result<std::vector<std::int64_t>> parse_sizes(std::string_view text);
using core::parse_duration;  // a number alone is milliseconds
using core::parse_rate;      // a number alone is megabits per second
/// "edge", "edge+cloud device", "edge+cloud machine", or the short "device", "machine".
core::Result<core::Boundary> parse_boundary(std::string_view text);
/// "measured" or "modelled".
core::Result<core::Origin> parse_origin(std::string_view text);
/// "a,b,c"; empty parts are dropped.
std::vector<std::string> split_list(std::string_view text, char separator = ',');

struct Address {
  std::string host;
  std::uint16_t port = 0;
};
/// "host:port", "[::1]:port", ":port" or "port"; an absent host is 127.0.0.1.
core::Result<Address> parse_address(std::string_view text);

}  // namespace cleave::cli
