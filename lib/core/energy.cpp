#include <cleave/core/energy.hpp>

namespace cleave::inline v0::core {

std::string_view to_string(Boundary boundary) {
  switch (boundary) {
    case Boundary::edge:
      return "edge";
    case Boundary::edge_cloud_device:
      return "edge+cloud device";
    case Boundary::edge_cloud_machine:
      return "edge+cloud machine";
  }
  return "unknown";
}

std::string_view to_string(Origin origin) {
  return origin == Origin::measured ? "measured" : "modelled";
}

}  // namespace cleave::inline v0::core
