// Numbers and words out of the kernel's text files.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/device/files.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::device {

/// The whole text as a number; nothing for anything else.
template <class T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty())
    return std::nullopt;
  return value;
}

/// Split at white space.
inline std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> found;
  constexpr std::string_view space = " \t\r\n";
  while (true) {
    const auto begin = text.find_first_not_of(space);
    if (begin == std::string_view::npos)
      return found;
    text.remove_prefix(begin);
    const auto end = std::min(text.find_first_of(space), text.size());
    found.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

/// Split at line ends; the last line may be empty.
inline std::vector<std::string_view> lines(std::string_view text) {
  std::vector<std::string_view> found;
  while (!text.empty()) {
    const auto end = text.find('\n');
    found.push_back(text.substr(0, end));
    if (end == std::string_view::npos)
      break;
    text.remove_prefix(end + 1);
  }
  return found;
}

inline bool contains_word(std::string_view text, std::string_view word) {
  for (std::string_view w : words(text))
    if (w == word)
      return true;
  return false;
}

constexpr int most_cpus = 1 << 16;

/// CPUs as the kernel lists them, "0-3,8,10-11"; nothing if it is no such list.
inline std::optional<std::vector<int>> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  while (!text.empty()) {
    const auto comma = text.find(',');
    const std::string_view range = text.substr(0, comma);
    const auto dash = range.find('-');
    const auto first = parse_number<int>(range.substr(0, dash));
    const auto last =
        dash == std::string_view::npos ? first : parse_number<int>(range.substr(dash + 1));
    if (!first || !last || *first < 0 || *last < *first || *last >= most_cpus)
      return std::nullopt;
    for (int cpu = *first; cpu <= *last; ++cpu) cpus.push_back(cpu);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
  }
  std::sort(cpus.begin(), cpus.end());
  cpus.erase(std::unique(cpus.begin(), cpus.end()), cpus.end());
  return cpus.empty() ? std::nullopt : std::optional(cpus);
}

/// A file that holds one number. Errors: those of reading, corrupt if it holds something else.
template <class T>
core::Result<T> read_number(Files& files, const std::filesystem::path& path) {
  const auto text = files.read(path);
  if (!text)
    return core::fail(text);
  const auto value = parse_number<T>(*text);
  if (!value)
    return core::fail(core::Errc::corrupt, "not a number: \"" + text->substr(0, 40) + "\"",
                      path.string());
  return *value;
}

inline std::optional<std::string> environment_of(const Machine& machine, const std::string& name) {
  if (machine.environment)
    return machine.environment(name);
  const char* value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

}  // namespace cleave::inline v0::device
