// A knob of given values, labelled by them.
#pragma once

#include <cleave/core/configuration.hpp>

#include <string>
#include <utility>
#include <vector>

namespace cleave::test {

inline core::Knob knob(std::string name, std::string unit, const std::vector<double>& values) {
  core::Knob out;
  out.name = std::move(name);
  out.unit = std::move(unit);
  for (const double value : values) out.levels.push_back({std::to_string(value), value});
  return out;
}

}  // namespace cleave::test
