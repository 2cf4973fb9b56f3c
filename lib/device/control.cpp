#include "lib/device/control.hpp"

#include "lib/device/parse.hpp"

#include <algorithm>
#include <cstdlib>

namespace cleave::inline v0::device {
namespace {

namespace fs = std::filesystem;

bool is_kept(const std::string& now, const std::string& asked, long tolerance) {
  const auto is = parse_number<long>(now), wanted = parse_number<long>(asked);
  return is && wanted ? std::labs(*is - *wanted) < tolerance : now == asked;
}

}  // namespace

core::Result<void> write_and_verify(Files& files, const fs::path& file, const std::string& value,
                                    long tolerance) {
  if (auto written = files.write(file, value); !written)
    return written;
  const auto now = files.read(file);
  if (!now)
    return core::fail(now);
  if (!is_kept(*now, value, tolerance))
    return core::fail(core::Errc::refused,
                      "the kernel kept \"" + *now + "\" when \"" + value + "\" was written",
                      file.string(), "another limit (heat, power, firmware) may hold it");
  return {};
}

core::Result<void> set_and_verify(Files& files, Journal& journal, const fs::path& file,
                                  const std::string& value, long tolerance) {
  const auto before = files.read(file);
  if (!before)
    return core::fail(before);
  if (is_kept(*before, value, tolerance))
    return {};
  if (auto noted = journal.will_write(file, *before); !noted)
    return noted;
  return write_and_verify(files, file, value, tolerance);
}

core::Result<void> clamp(Files& files, Journal& journal, const fs::path& least,
                         const fs::path& most, long value, long tolerance) {
  const auto now = read_number<long>(files, least);
  if (!now)
    return core::fail(now);
  const bool up = value >= *now;
  for (const fs::path& file : {up ? most : least, up ? least : most})
    if (auto done = set_and_verify(files, journal, file, std::to_string(value), tolerance); !done)
      return done;
  return {};
}

core::Result<std::vector<long>> parse_frequencies(const std::string& text, const fs::path& file) {
  std::vector<long> frequencies;
  for (std::string_view word : words(text)) {
    const auto value = parse_number<long>(word);
    if (!value || *value <= 0)
      return core::fail(core::Errc::corrupt, "not a frequency: \"" + std::string(word) + "\"",
                        file.string());
    frequencies.push_back(*value);
  }
  return frequencies;
}

core::Result<void> check_offered(Files& files, const fs::path& file, long frequency,
                                 const std::string& label) {
  const auto text = files.read(file);
  if (!text && text.error().code != core::Errc::not_found)
    return core::fail(text);
  if (!text || text->empty())
    return {};
  const auto offered = parse_frequencies(*text, file);
  if (!offered)
    return core::fail(offered);
  if (std::find(offered->begin(), offered->end(), frequency) == offered->end())
    return core::fail(core::Errc::mismatch,
                      label + " is not offered any more: the list of levels has changed",
                      file.string(), "start again, and profile again with the new list");
  return {};
}

}  // namespace cleave::inline v0::device
