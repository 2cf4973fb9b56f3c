// What CLI11's own checks let through.
#pragma once

#include <CLI/CLI.hpp>

#include <cmath>
#include <cstdlib>
#include <string>

namespace cleave::cli {

/// For options that are numbers: nan is in every CLI::Range, as it is neither below nor above.
inline CLI::Validator finite() {
  return {[](std::string& text) {
            return std::isfinite(std::strtod(text.c_str(), nullptr))
                       ? std::string()
                       : text + " is not a finite number";
          },
          ""};
}

}  // namespace cleave::cli
