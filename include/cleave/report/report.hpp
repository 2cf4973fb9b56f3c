// What cleave measured, for people: tables for the terminal, one self-contained page for the
// browser.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/report/network.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>
#include <cleave/table/workload.hpp>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cleave::inline v0::report {

/// What a page shows; parts that are empty are left out.
struct ReportInput {
  std::string title = "cleave report";
  std::string note;  ///< a sentence under the title: where and when this was measured
  std::optional<NetworkPicture> network;  ///< made by `cleave inspect`
  std::optional<table::Profile> profile;
  std::optional<table::ParetoTable> table;
  std::vector<table::RunLog> runs;
  /// The text of Chart.js 3 or 4, inlined; see load_chart_js(). Empty: tables only.
  std::string chart_js;
};

/// A page that needs nothing but itself: no request leaves it. All texts are escaped.
CLEAVE_EXPORT std::string html(const ReportInput& input);

/// Chart.js from `path`, or from where Debian's libjs-chart.js puts it. Errors: not_found,
/// unsupported (not Chart.js, or neither version 3 nor 4), core::read_text's.
CLEAVE_EXPORT core::Result<std::string> load_chart_js(
    const std::optional<std::filesystem::path>& path = std::nullopt);

}  // namespace cleave::inline v0::report
