// Aligned tables for a terminal.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/workload.hpp>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::report {

/// Columns as wide as their widest cell, counted in terminal cells (UTF-8: wide characters take
/// two, combining marks none; control characters are shown as U+FFFD).
class CLEAVE_EXPORT TextTable {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };

  explicit TextTable(std::vector<Column> columns);
  /// One cell per column; missing ones are empty. Precondition: not more than columns.
  void add_row(std::vector<std::string> cells);
  /// Title, rule and rows, each line ended with a newline and without trailing spaces.
  [[nodiscard]] std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// The cells of a terminal that UTF-8 text takes; a byte that is not UTF-8 takes one.
CLEAVE_EXPORT std::size_t display_width(std::string_view text);

/// Three significant digits with a prefix people read: "12.3 ms", "1.23 s", "456 us"; "45.6 mJ";
/// "1.5 MB" (decimal). Not finite: "-".
CLEAVE_EXPORT std::string format(core::Seconds time);
CLEAVE_EXPORT std::string format(core::Joules energy);
CLEAVE_EXPORT std::string format(core::Bytes bytes);
CLEAVE_EXPORT std::string format(core::BytesPerSecond rate);  ///< in bits: "20 Mbit/s"
CLEAVE_EXPORT std::string percent(double share);              ///< "91.3 %"

/// One line per policy: mean energy with boundary and origin, median and p95 latency, missed
/// deadlines, accuracy, decisions by kind.
CLEAVE_EXPORT std::string policy_table(const std::vector<table::RunSummary>& summaries);
/// One line per row of the front: label, latency, energy (boundary and origin in the title),
/// accuracy. At most `limit` rows, spread evenly over the table, and a line that says how many were
/// left out.
CLEAVE_EXPORT std::string front_table(const table::ParetoTable& table, std::size_t limit = 20);
/// One line per part of the power model and way that it may be wrong by 30 %: what changes, and
/// what energy is lost; see table::power_sensitivity(). Empty where nothing is modelled.
CLEAVE_EXPORT std::string sensitivity_table(const table::ParetoTable& table);

}  // namespace cleave::inline v0::report
