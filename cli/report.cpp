// cleave report: profiles, tables and runs as a page, a terminal table, JSON or CSV.
#include "cli/commands.hpp"
#include "cli/common.hpp"

#include <cleave/core/file.hpp>
#include <cleave/report/report.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/table/files.hpp>
#include <cleave/table/workload.hpp>

#include <cstdio>
#include <iostream>
#include <utility>

namespace cleave::cli {
namespace {

struct Options {
  std::string profile, table, runs, out, csv, chart_js, title = "cleave report", note;
  bool json = false;
};

void print_json(const report::ReportInput& input) {
  std::string text = "{";
  const auto add = [&](const char* key, const std::string& value) {
    text += (text.size() > 1 ? "," : "") + ("\"" + std::string(key) + "\":") + value;
  };
  if (input.profile)
    add("profile", table::to_json(*input.profile));
  if (input.table)
    add("table", table::to_json(*input.table));
  if (!input.runs.empty())
    add("runs", table::to_json(input.runs));
  std::cout << text << "}\n";
}

void print_text(const report::ReportInput& input) {
  if (input.profile) {
    std::printf("%s: %zu cuts, %zu codecs, link %s up, %s round trip\n",
                input.profile->model_name.c_str(), input.profile->cuts.size(),
                input.profile->codecs.size(), report::format(input.profile->link.up).c_str(),
                report::format(input.profile->link.round_trip).c_str());
    for (const auto& [kind, error] :
         {std::pair{"", input.profile->error},
          std::pair{" at predicted levels", input.profile->predicted_error}})
      if (error.configurations > 0)
        std::printf(
            "prediction error over %u held-out configurations%s: median %s, p90 %s "
            "(repeating the measurement: %s, %s)\n",
            error.configurations, kind, report::percent(error.median_relative).c_str(),
            report::percent(error.p90_relative).c_str(),
            report::percent(error.repeat_median_relative).c_str(),
            report::percent(error.repeat_p90_relative).c_str());
  }
  if (input.table) {
    std::cout << report::front_table(*input.table);
    if (const std::string text = report::sensitivity_table(*input.table); !text.empty())
      std::cout << '\n' << text;
  }
  if (!input.runs.empty()) {
    std::vector<table::RunSummary> summaries;
    for (const table::RunLog& log : input.runs) summaries.push_back(table::summarise(log));
    std::cout << report::policy_table(summaries);
  }
}

core::Result<void> write_csv(const report::ReportInput& input, const std::string& path) {
  if (!input.runs.empty())
    return core::write_file(path, table::to_csv(input.runs));
  if (input.table)
    return core::write_file(path, table::to_csv(*input.table));
  return core::write_file(path, table::to_csv(*input.profile));
}

core::Result<void> make_report(const Options& options) {
  report::ReportInput input;
  input.title = options.title;
  input.note = options.note;
  if (!options.profile.empty()) {
    auto profile = table::load_profile(options.profile);
    if (!profile)
      return core::fail(profile);
    input.profile = std::move(*profile);
  }
  if (!options.table.empty()) {
    auto table = table::load_table(options.table);
    if (!table)
      return core::fail(table);
    input.table = std::move(*table);
  }
  if (!options.runs.empty()) {
    auto runs = table::load_run_logs(options.runs);
    if (!runs)
      return core::fail(runs);
    input.runs = std::move(*runs);
  }
  if (!input.profile && !input.table && input.runs.empty())
    return core::fail(core::Errc::invalid_argument, "nothing to report", "",
                      "give --profile, --table or --runs");
  if (!options.csv.empty())
    if (auto written = write_csv(input, options.csv); !written)
      return written;
  if (!options.out.empty()) {
    auto chart_js = report::load_chart_js(
        options.chart_js.empty() ? std::nullopt
                                 : std::optional<std::filesystem::path>(options.chart_js));
    if (!chart_js)
      return core::fail(chart_js);
    input.chart_js = std::move(*chart_js);
    if (auto written = core::write_file(options.out, report::html(input)); !written)
      return written;
  }
  if (options.json) {
    print_json(input);
    return {};
  }
  print_text(input);
  if (!options.out.empty())
    std::printf("wrote %s\n", options.out.c_str());
  return {};
}

}  // namespace

void add_report(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("report", summary_of("report"));
  command->add_option("--profile", options->profile, "A profile made by cleave profile");
  command->add_option("--table", options->table, "A table made by cleave optimize");
  command->add_option("--runs", options->runs, "A log made by cleave run --log");
  command->add_option("-o,--output", options->out, "Write a self-contained HTML page");
  command->add_option("--csv", options->csv, "Write the runs, else the table, else the profile");
  command->add_option("--chart-js", options->chart_js,
                      "Chart.js 3 or 4 (default: from Debian's libjs-chart.js)");
  command->add_option("--title", options->title, "The page's title")->capture_default_str();
  command->add_option("--note", options->note, "A sentence under the title");
  add_json_flag(*command, options->json);
  command->footer(
      "Example:\n  cleave report --profile m.profile --table m.table --runs run.json "
      "-o report.html");
  command->callback([options, &result] {
    if (const auto made = make_report(*options); !made)
      result = print_error(made.error());
  });
}

}  // namespace cleave::cli
