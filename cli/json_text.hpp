#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace cleave::cli {

/// Indented by two. File names and the names of layers come from elsewhere and need not be UTF-8;
/// JSON must be.
template <class Json>
std::string json_text(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cleave::cli
