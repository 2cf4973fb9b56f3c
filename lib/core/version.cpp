#include <cleave/core/version.hpp>

namespace cleave::inline v0::core {

std::string_view version() {
  return "0.1.0";
}

}  // namespace cleave::inline v0::core
