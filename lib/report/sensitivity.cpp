#include "lib/report/sensitivity.hpp"

#include "lib/report/escape.hpp"

#include <cleave/report/terminal.hpp>
#include <cleave/table/sensitivity.hpp>

#include <cmath>
#include <cstdio>

namespace cleave::inline v0::report {
namespace {

struct Line {
  std::string part, by, changed, mean, worst;
};

std::string signed_percent(double factor) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.0f %%", (factor - 1) * 100);
  return text;
}

Line line_of(const table::PowerSensitivity& s) {
  const double share =
      s.decisions == 0 ? 0 : static_cast<double>(s.changed) / static_cast<double>(s.decisions);
  return {std::string(to_string(s.part)), signed_percent(s.factor),
          std::to_string(s.changed) + " of " + std::to_string(s.decisions) + " (" + percent(share) +
              ")",
          percent(s.mean_regret), percent(s.worst_regret)};
}

}  // namespace

std::string sensitivity_section(const table::ParetoTable& table) {
  const auto found = table::power_sensitivity(table);
  if (found.empty())
    return {};
  std::string out =
      "<section><h2>If the power model is wrong</h2>\n<p class=\"soft\">These energies are "
      "modelled. One part at a time draws more or less than the model says, and rows are still "
      "chosen by the model: at how many of the deadlines at which another row of the table comes "
      "into reach would another row have needed less, and how much energy is lost by that. ";
  out += "Energy: " + escape_html(to_string(table.boundary)) + ", on the reference link.</p>\n";
  out +=
      "<div class=\"scroll\"><table>\n<tr><th>part</th><th class=\"number\">draws</th>"
      "<th class=\"number\">decisions that change</th><th class=\"number\">mean loss</th>"
      "<th class=\"number\">worst loss</th></tr>\n";
  for (const table::PowerSensitivity& sensitivity : found) {
    const Line line = line_of(sensitivity);
    out += "<tr><td class=\"name\">" + escape_html(line.part) + "</td>";
    for (const std::string& cell : {line.by, line.changed, line.mean, line.worst})
      out += "<td class=\"number\">" + escape_html(cell) + "</td>";
    out += "</tr>\n";
  }
  return out + "</table></div>\n</section>\n";
}

std::string sensitivity_table(const table::ParetoTable& table) {
  const auto found = table::power_sensitivity(table);
  if (found.empty())
    return {};
  using Align = TextTable::Align;
  TextTable out({{"if the power model is wrong"},
                 {"draws", Align::right},
                 {"decisions that change", Align::right},
                 {"mean loss", Align::right},
                 {"worst loss", Align::right}});
  for (const table::PowerSensitivity& sensitivity : found) {
    const Line line = line_of(sensitivity);
    out.add_row({line.part, line.by, line.changed, line.mean, line.worst});
  }
  return out.text();
}

}  // namespace cleave::inline v0::report
