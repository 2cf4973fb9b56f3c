#include "lib/data/csv.hpp"

#include <cleave/core/file.hpp>

#include <charconv>
#include <optional>
#include <string_view>

namespace cleave::inline v0::data {
namespace {

using core::Errc;
using core::fail;
using core::Result;

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos)
    return {};
  text = text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

template <class T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

std::optional<std::int32_t> parse_class(std::string_view text) {
  const auto label = parse<std::int32_t>(text);
  return label && *label >= 0 ? label : std::nullopt;
}

// Calls f(line, number from 1) for every line that is not blank, until it fails.
template <class F>
Result<void> each_line(std::string_view text, F&& f) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (trimmed(line).empty())
      continue;
    if (const auto done = f(line, number); !done)
      return done;
  }
  return {};
}

std::string at(const std::filesystem::path& path, std::size_t line) {
  return path.string() + ":" + std::to_string(line);
}

// Calls f(all but the last field, the class in the last, line) for every line; a first line whose
// last field is no class is a heading.
template <class F>
Result<void> each_label(const std::filesystem::path& path, F&& f) {
  const auto text = core::read_text(path, csv_size_limit);
  if (!text)
    return fail(text);
  return each_line(*text, [&](std::string_view line, std::size_t number) -> Result<void> {
    const std::size_t comma = line.rfind(',');
    const auto last = trimmed(comma == line.npos ? line : line.substr(comma + 1));
    const auto before = comma == line.npos ? std::string_view() : line.substr(0, comma);
    const auto label = parse_class(last);
    if (!label && number == 1)
      return {};
    if (!label)
      return fail(Errc::corrupt, "'" + std::string(last.substr(0, 40)) + "' is not a class number",
                  at(path, number));
    return f(before, *label, number);
  });
}

}  // namespace

Result<CsvInputs> read_csv_inputs(const std::filesystem::path& path) {
  const auto text = core::read_text(path, csv_size_limit);
  if (!text)
    return fail(text);
  CsvInputs inputs;
  auto read = each_line(*text, [&](std::string_view line, std::size_t number) -> Result<void> {
    const auto label = parse_class(trimmed(line.substr(0, line.find(','))));
    if (!label && number == 1)
      return {};
    if (!label)
      return fail(Errc::corrupt, "the first field is not a class number", at(path, number));
    const std::size_t before = inputs.values.size();
    while (line.find(',') != line.npos) {
      line.remove_prefix(line.find(',') + 1);
      const auto field = trimmed(line.substr(0, line.find(',')));
      const auto value = parse<float>(field);
      if (!value)
        return fail(Errc::corrupt, "'" + std::string(field.substr(0, 40)) + "' is not a number",
                    at(path, number));
      inputs.values.push_back(*value);
    }
    const std::size_t width = inputs.values.size() - before;
    if (width == 0 || (inputs.width != 0 && width != inputs.width))
      return fail(Errc::corrupt,
                  std::to_string(width) + " values on this line, " +
                      (inputs.width == 0 ? "but an input has some"
                                         : std::to_string(inputs.width) + " on those before"),
                  at(path, number));
    inputs.width = width;
    inputs.labels.push_back(*label);
    return {};
  });
  if (!read)
    return fail(read);
  if (inputs.labels.empty())
    return fail(Errc::corrupt, "there are no inputs in it", path.string());
  return inputs;
}

Result<std::vector<std::int32_t>> read_csv_labels(const std::filesystem::path& path) {
  std::vector<std::int32_t> labels;
  const auto read =
      each_label(path, [&](std::string_view, std::int32_t label, std::size_t) -> Result<void> {
        labels.push_back(label);
        return {};
      });
  if (!read)
    return fail(read);
  return labels;
}

Result<std::map<std::string, std::int32_t>> read_csv_named_labels(
    const std::filesystem::path& path) {
  std::map<std::string, std::int32_t> labels;
  const auto read = each_label(
      path, [&](std::string_view name, std::int32_t label, std::size_t number) -> Result<void> {
        if (!labels.emplace(trimmed(name), label).second)
          return fail(Errc::corrupt, "'" + std::string(trimmed(name)) + "' has two classes",
                      at(path, number));
        return {};
      });
  if (!read)
    return fail(read);
  return labels;
}

}  // namespace cleave::inline v0::data
