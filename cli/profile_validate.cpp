#include "cli/profile_validate.hpp"

#include "cli/json_text.hpp"

#include <cleave/report/terminal.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

using core::Seconds;
using profiler::ValidatedConfiguration;
using Json = nlohmann::ordered_json;
using Align = report::TextTable::Align;

struct Part {
  const char* name;
  Seconds (*of)(const table::LatencyParts&);
};

// What profile and executor both tell; the round trip and all that belongs to no part are one.
constexpr std::array parts{
    Part{"edge compute", [](const table::LatencyParts& p) { return p.edge_compute; }},
    Part{"encode", [](const table::LatencyParts& p) { return p.encode; }},
    Part{"transfer", [](const table::LatencyParts& p) { return p.transfer; }},
    Part{"decode", [](const table::LatencyParts& p) { return p.decode; }},
    Part{"queue", [](const table::LatencyParts& p) { return p.queue; }},
    Part{"cloud compute", [](const table::LatencyParts& p) { return p.cloud_compute; }},
    Part{"reply", [](const table::LatencyParts& p) { return p.reply; }},
    Part{"round trip and overhead",
         [](const table::LatencyParts& p) { return p.round_trip + p.overhead; }},
};

std::string name_of(const table::Profile& profile, const core::Configuration& configuration) {
  const auto cut =
      std::find_if(profile.cuts.begin(), profile.cuts.end(),
                   [&](const table::CutProfile& c) { return c.id == configuration.cut(); });
  const bool all_edge = configuration.cut() == profile.cuts.back().id;
  std::string name = cut->position == 0 ? "all cloud" : all_edge ? "all edge" : cut->layer;
  if (!all_edge)
    name += " " + configuration.codec();
  for (const core::Stage& stage : configuration.stages) {
    if (stage.host == core::cloud_host && all_edge)
      continue;
    name += " |";
    const auto& knobs = profile.hosts.at(stage.host).knobs;
    for (std::size_t k = 0; k < knobs.size(); ++k)
      name += " " + knobs[k].levels.at(stage.levels.at(k)).label;
  }
  return name;
}

Json json_of(const table::LatencyParts& latency) {
  Json json;
  for (const Part& part : parts) json[part.name] = part.of(latency).count();
  return json;
}

Json json_of(const table::PredictionError& error) {
  return {{"configurations", error.configurations},
          {"median_relative", error.median_relative},
          {"p95_relative", error.p95_relative},
          {"repeat_median_relative", error.repeat_median_relative},
          {"repeat_p95_relative", error.repeat_p95_relative},
          {"covered", error.covered}};
}

void print_json(const table::Profile& profile, const profiler::ValidationReport& report) {
  Json list = Json::array();
  for (const ValidatedConfiguration& one : report.configurations)
    list.push_back({{"configuration", name_of(profile, one.configuration)},
                    {"predicted_setting", one.predicted_setting},
                    {"predicted_s", one.predicted.total().count()},
                    {"measured_s", one.latency.count()},
                    {"again_s", one.again.count()},
                    {"relative_interval", one.interval},
                    {"covered", one.covered()},
                    {"drift", one.drift},
                    {"predicted_parts_s", json_of(one.predicted)},
                    {"measured_parts_s", json_of(one.measured)}});
  const Json json = {{"measured_settings", json_of(report.measured)},
                     {"predicted_settings", json_of(report.predicted)},
                     {"median_drift", report.median_drift},
                     {"worst_drift", report.worst_drift},
                     {"configurations", std::move(list)}};
  std::cout << json_text(json) << '\n';
}

std::string by_part(const profiler::ValidationReport& report) {
  report::TextTable table(
      {{"part, mean", Align::left}, {"predicted", Align::right}, {"measured", Align::right}});
  const auto count = static_cast<double>(report.configurations.size());
  for (const Part& part : parts) {
    Seconds predicted, measured;
    for (const ValidatedConfiguration& one : report.configurations) {
      predicted += part.of(one.predicted);
      measured += part.of(one.measured);
    }
    table.add_row({part.name, report::format(predicted / count), report::format(measured / count)});
  }
  return table.text();
}

std::string by_configuration(const table::Profile& profile,
                             const profiler::ValidationReport& report) {
  report::TextTable table({{"configuration", Align::left},
                           {"predicted", Align::right},
                           {"measured", Align::right},
                           {"error", Align::right},
                           {"repeated", Align::right},
                           {"interval", Align::right},
                           {"drift", Align::right},
                           {"setting", Align::left}});
  for (const ValidatedConfiguration& one : report.configurations)
    table.add_row({name_of(profile, one.configuration), report::format(one.predicted.total()),
                   report::format(one.latency), report::percent(one.error()),
                   report::percent(one.repeat_error()), report::percent(one.interval),
                   report::percent(one.drift), one.predicted_setting ? "predicted" : "measured"});
  return table.text();
}

void print_class(const char* which, const table::PredictionError& error) {
  if (error.configurations == 0)
    return;
  std::printf(
      "%s settings, error over %u configurations: median %s, p90 %s, p95 %s, %s within the "
      "interval (repeating the same measurement: %s, %s, %s)\n",
      which, error.configurations, report::percent(error.median_relative).c_str(),
      report::percent(error.p90_relative).c_str(), report::percent(error.p95_relative).c_str(),
      report::percent(error.covered).c_str(), report::percent(error.repeat_median_relative).c_str(),
      report::percent(error.repeat_p90_relative).c_str(),
      report::percent(error.repeat_p95_relative).c_str());
}

}  // namespace

void print_validation(const table::Profile& profile, const profiler::ValidationReport& report,
                      bool json) {
  if (json) {
    print_json(profile, report);
    return;
  }
  std::cout << by_configuration(profile, report) << '\n' << by_part(report) << '\n';
  std::cout.flush();
  print_class("measured", report.measured);
  print_class("predicted", report.predicted);
  std::printf("reference runs beside them drifted by %s (median; worst %s)\n",
              report::percent(report.median_drift).c_str(),
              report::percent(report.worst_drift).c_str());
}

}  // namespace cleave::cli
