// What CLI11's own checks let through.
#pragma once

#include <CLI/CLI.hpp>

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <system_error>
#include <type_traits>

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

/// For options that are unsigned: CLI11 takes -5 for 2^64 - 5, and what is too large for 2^64 - 1.
inline CLI::Validator whole_number() {
  return {[](std::string& text) {
            const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
            std::uint64_t value = 0;
            const bool fits = std::from_chars(text.data(), text.data() + text.size(), value).ec !=
                              std::errc::result_out_of_range;
            return text.find('-') == std::string::npos && (!digits || fits)
                       ? std::string()
                       : text + " is no whole number from 0 to 2^64 - 1";
          },
          ""};
}

/// For options that are one of these words, in upper or lower case: CLI::CheckedTransformer takes
/// the numbers that stand for them, too.
template <class E>
CLI::Validator one_of(const std::map<std::string, E>& words) {
  return {[words](std::string& text) {
            const auto found = words.find(CLI::detail::to_lower(text));
            if (found != words.end()) {
              text = std::to_string(static_cast<std::underlying_type_t<E>>(found->second));
              return std::string();
            }
            std::string known;
            for (const auto& [word, value] : words) known += (known.empty() ? "" : ", ") + word;
            return text + " is none of " + known;
          },
          ""};
}

}  // namespace cleave::cli
