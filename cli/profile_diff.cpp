#include "cli/profile_diff.hpp"

#include "cli/common.hpp"
#include "cli/json_text.hpp"

#include <cleave/report/terminal.hpp>
#include <cleave/table/compare.hpp>
#include <cleave/table/files.hpp>

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using table::Difference;
using Json = nlohmann::ordered_json;

std::string text_of(const Difference& difference, double value) {
  return difference.unit == Difference::Unit::seconds ? report::format(core::Seconds(value))
                                                      : report::format(core::BytesPerSecond(value));
}

std::string ratio_text(const Difference& difference) {
  if (!std::isfinite(difference.ratio()))
    return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", difference.ratio());
  return text;
}

std::string verdict(const Difference& difference) {
  if (!difference.beyond_spread)
    return "-";
  return *difference.beyond_spread ? "yes" : "no";
}

Json json_of(const Difference& difference) {
  const char* unit = difference.unit == Difference::Unit::seconds ? "s" : "bytes/s";
  Json json = {{"part", difference.part},
               {"what", difference.what},
               {"unit", unit},
               {"a", difference.a},
               {"b", difference.b}};
  json["ratio"] = std::isfinite(difference.ratio()) ? Json(difference.ratio()) : Json(nullptr);
  json["beyond_spread"] =
      difference.beyond_spread ? Json(*difference.beyond_spread) : Json(nullptr);
  return json;
}

void print_json(const table::ProfileComparison& comparison) {
  Json differences = Json::array();
  for (const Difference& difference : comparison.differences)
    differences.push_back(json_of(difference));
  const Json json = {{"edge_made_on", comparison.edge_made_on},
                     {"cloud_made_on", comparison.cloud_made_on},
                     {"only_a", comparison.only_a},
                     {"only_b", comparison.only_b},
                     {"differences", std::move(differences)}};
  std::cout << json_text(json) << '\n';
}

void print_list(const char* title, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) std::printf("%s: %s\n", title, line.c_str());
}

}  // namespace

CLI::Option* add_diff_option(CLI::App& app, std::vector<std::string>& files) {
  return app
      .add_option("--diff", files,
                  "Measure nothing: compare two profiles of one model part by part, and tell which "
                  "differences are beyond the spread")
      ->expected(2)
      ->type_name("A B");
}

core::Result<void> print_diff(const std::string& a, const std::string& b, bool json) {
  const auto first = table::load_profile(a);
  if (!first)
    return core::fail(first);
  const auto second = table::load_profile(b);
  if (!second)
    return core::fail(second);
  const auto comparison = table::compare(*first, *second);
  if (!comparison)
    return core::fail(comparison);
  if (json) {
    print_json(*comparison);
    return {};
  }
  using Align = report::TextTable::Align;
  std::printf("A: %s\nB: %s\n", a.c_str(), b.c_str());
  print_list("edge of A (here: B)", comparison->edge_made_on);
  print_list("cloud of A (here: B)", comparison->cloud_made_on);
  print_list("only A", comparison->only_a);
  print_list("only B", comparison->only_b);
  report::TextTable table({{"part", Align::left},
                           {"of", Align::left},
                           {"A", Align::right},
                           {"B", Align::right},
                           {"B / A", Align::right},
                           {"beyond spread", Align::left}});
  for (const Difference& difference : comparison->differences)
    table.add_row({difference.part, difference.what, text_of(difference, difference.a),
                   text_of(difference, difference.b), ratio_text(difference), verdict(difference)});
  std::cout << table.text();
  return {};
}

}  // namespace cleave::cli
