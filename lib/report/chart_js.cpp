#include <cleave/core/file.hpp>
#include <cleave/report/report.hpp>

namespace cleave::inline v0::report {

using core::Errc;
using core::fail;
using core::Result;

namespace {

constexpr std::size_t source_limit = std::size_t{8} << 20;

// The comment at its top reads "Chart.js v3.9.1".
int major_version(std::string_view source) {
  constexpr std::string_view name = "Chart.js v";
  const std::size_t at = source.substr(0, 400).find(name);
  if (at == std::string_view::npos || at + name.size() >= source.size())
    return 0;
  const char digit = source[at + name.size()];
  return digit >= '0' && digit <= '9' && source.substr(at + name.size() + 1, 1) == "." ? digit - '0'
                                                                                       : 0;
}

}  // namespace

Result<std::string> load_chart_js(const std::optional<std::filesystem::path>& path) {
  const std::vector<std::filesystem::path> places =
      path ? std::vector{*path}
           : std::vector<std::filesystem::path>{"/usr/share/javascript/chart.js/chart.min.js",
                                                "/usr/share/javascript/chart.js/chart.umd.js",
                                                "/usr/share/javascript/chart.js/chart.js"};
  for (const std::filesystem::path& place : places) {
    auto source = core::read_text(place, source_limit);
    if (!source && source.error().code == Errc::not_found)
      continue;
    if (!source)
      return source;
    const int major = major_version(*source);
    if (major != 3 && major != 4)
      return fail(Errc::unsupported,
                  major == 0 ? "not Chart.js" : "Chart.js " + std::to_string(major), place.string(),
                  "versions 3 and 4 will do");
    return source;
  }
  return fail(Errc::not_found, "no Chart.js", places.front().string(),
              "install the package libjs-chart.js");
}

}  // namespace cleave::inline v0::report
