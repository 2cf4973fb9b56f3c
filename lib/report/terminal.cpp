#include "lib/report/utf8.hpp"

#include <cleave/report/terminal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace cleave::inline v0::report {
namespace {

constexpr std::string_view replacement = "\xef\xbf\xbd";

// The marks that take no cell, and the wide blocks of East Asian scripts and pictographs (Unicode
// Standard Annex 11), coarsely: block by block.
std::size_t cells_of(char32_t c) {
  const auto in = [c](char32_t low, char32_t high) { return c >= low && c <= high; };
  if (in(0x300, 0x36f) || in(0x200b, 0x200f) || in(0x20d0, 0x20ff) || in(0xfe00, 0xfe0f))
    return 0;
  if (in(0x1100, 0x115f) || in(0x2e80, 0xa4cf) || in(0xac00, 0xd7a3) || in(0xf900, 0xfaff) ||
      in(0xfe30, 0xfe6f) || in(0xff00, 0xff60) || in(0xffe0, 0xffe6) || in(0x1f300, 0x1faff) ||
      in(0x20000, 0x3fffd))
    return 2;
  return 1;
}

bool is_control(char32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0);
}

// What a terminal may be sent: valid UTF-8 without control characters, which could move the cursor
// or change its colours.
std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Character next = next_utf8(text);
    if (next.valid && !is_control(next.code))
      out += text.substr(0, next.bytes);
    else
      out += replacement;
    text.remove_prefix(next.bytes);
  }
  return out;
}

std::string significant(double value) {
  char text[32];
  const double size = std::abs(value);
  std::snprintf(text, sizeof text, "%.*f", size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2, value);
  return text;
}

struct Scale {
  double unit;
  const char* name;
};

// The largest unit that leaves at least 1 after rounding; the smallest for what is below all.
template <std::size_t N>
std::string scaled(double value, const Scale (&scales)[N]) {
  if (!std::isfinite(value))
    return "-";
  for (const Scale& scale : scales)
    if (std::abs(value) >= 0.9995 * scale.unit)
      return significant(value / scale.unit) + " " + scale.name;
  const Scale& least = scales[N - 1];
  return (value == 0 ? std::string("0") : significant(value / least.unit)) + " " + least.name;
}

std::string title_of_energy(core::Boundary boundary) {
  return "energy (" + std::string(to_string(boundary)) + ")";
}

}  // namespace

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  while (!text.empty()) {
    const Utf8Character next = next_utf8(text);
    width += next.valid ? cells_of(next.code) : 1;
    text.remove_prefix(next.bytes);
  }
  return width;
}

TextTable::TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_) column.title = printable(column.title);
}

void TextTable::add_row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  for (std::string& cell : cells) cell = printable(cell);
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<std::size_t> widths;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t width = display_width(columns_[c].title);
    for (const auto& row : rows_) width = std::max(width, display_width(row[c]));
    widths.push_back(width);
  }
  std::string out;
  const auto line = [&](const auto& cell) {
    std::string text;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      const std::string& content = cell(c);
      const std::string space(widths[c] - display_width(content), ' ');
      text += c == 0 ? "" : "  ";
      text += columns_[c].align == Align::right ? space + content : content + space;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line([&](std::size_t c) -> const std::string& { return columns_[c].title; });
  std::vector<std::string> rules;
  for (const std::size_t width : widths) rules.emplace_back(width, '-');
  line([&](std::size_t c) -> const std::string& { return rules[c]; });
  for (const auto& row : rows_) line([&](std::size_t c) -> const std::string& { return row[c]; });
  return out;
}

std::string format(core::Seconds time) {
  static constexpr Scale scales[] = {{1, "s"}, {1e-3, "ms"}, {1e-6, "us"}, {1e-9, "ns"}};
  return scaled(time.count(), scales);
}

std::string format(core::Joules energy) {
  static constexpr Scale scales[] = {{1e3, "kJ"}, {1, "J"}, {1e-3, "mJ"}, {1e-6, "uJ"}};
  return scaled(energy.count(), scales);
}

std::string format(core::Bytes bytes) {
  static constexpr Scale scales[] = {{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}};
  if (std::isfinite(bytes.count()) && std::abs(bytes.count()) < 1000)
    return std::to_string(static_cast<long>(bytes.count())) + " B";
  return scaled(bytes.count(), scales);
}

std::string format(core::BytesPerSecond rate) {
  static constexpr Scale scales[] = {
      {1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}, {1, "bit/s"}};
  return scaled(rate.count() * 8, scales);
}

std::string percent(double share) {
  if (!std::isfinite(share))
    return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", share * 100);
  return text;
}

std::string policy_table(const std::vector<table::RunSummary>& summaries) {
  using Align = TextTable::Align;
  TextTable out({{"policy"},
                 {"mean energy", Align::right},
                 {"boundary"},
                 {"origin"},
                 {"median", Align::right},
                 {"p95", Align::right},
                 {"missed", Align::right},
                 {"accuracy", Align::right},
                 {"edge/split/cloud", Align::right},
                 {"fell back", Align::right},
                 {"failed", Align::right}});
  for (const table::RunSummary& s : summaries) {
    const double missed =
        s.requests == 0 ? 0 : static_cast<double>(s.missed) / static_cast<double>(s.requests);
    out.add_row({s.policy, format(s.mean_energy), std::string(to_string(s.boundary)),
                 std::string(to_string(s.origin)), format(s.median_latency), format(s.p95_latency),
                 std::to_string(s.missed) + " (" + percent(missed) + ")", percent(s.accuracy),
                 std::to_string(s.on_edge) + "/" + std::to_string(s.split) + "/" +
                     std::to_string(s.on_cloud),
                 std::to_string(s.fell_back), std::to_string(s.failed)});
  }
  return out.text();
}

std::string front_table(const table::ParetoTable& table, std::size_t limit) {
  using Align = TextTable::Align;
  TextTable out({{"configuration"},
                 {"latency", Align::right},
                 {title_of_energy(table.boundary), Align::right},
                 {"origin"},
                 {"accuracy", Align::right}});
  std::vector<const table::TableRow*> front;
  for (const table::TableRow& row : table.rows)
    if (row.on_front)
      front.push_back(&row);
  const std::size_t shown = std::min(limit, front.size());
  for (std::size_t i = 0; i < shown; ++i) {
    // Both ends are shown, the rest evenly between them.
    const std::size_t at = shown == 1 ? 0 : i * (front.size() - 1) / (shown - 1);
    const table::TableRow& row = *front[at];
    const table::Accuracy& accuracy = row.ingredients.accuracy;
    out.add_row({row.label, format(row.latency), format(row.energy),
                 std::string(to_string(row.ingredients.origin)),
                 accuracy.basis == table::Accuracy::Basis::none ? "-" : percent(accuracy.value)});
  }
  std::string text = out.text();
  if (shown < front.size())
    text += "(" + std::to_string(front.size() - shown) + " of the " + std::to_string(front.size()) +
            " configurations on the front are not shown)\n";
  return text;
}

}  // namespace cleave::inline v0::report
