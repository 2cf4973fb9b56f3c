#include "lib/report/escape.hpp"

#include <cleave/report/network.hpp>
#include <cleave/report/terminal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

namespace cleave::inline v0::report {
namespace {

// A row of the picture: the inputs, or a computing step, with the steps that only pass things on.
struct Row {
  std::string layer, op;
  double share = 0;
  std::set<std::size_t> reads;  ///< rows
  std::size_t last_read = 0;    ///< the last row that reads it
  std::size_t lane = 0;
  const NetworkPicture::Cut* cut = nullptr;      ///< behind it
  const NetworkPicture::Cut* refused = nullptr;  ///< behind it, if there is no other
};

constexpr double row_height = 26, lane_width = 13, top = 34, text_width = 300, share_width = 110,
                 bytes_width = 300;

std::vector<Row> rows_of(const NetworkPicture& network) {
  std::vector<Row> rows(1);
  rows[0].layer = "input";
  // What a step's result comes from: its own row, or those of what it passes on.
  std::vector<std::set<std::size_t>> from(network.steps.size());
  std::vector<std::size_t> row_after(network.steps.size() + 1, 0);
  for (std::size_t i = 0; i < network.steps.size(); ++i) {
    const NetworkPicture::Step& step = network.steps[i];
    std::set<std::size_t> reads;
    if (step.reads_input)
      reads.insert(0);
    for (const std::uint32_t needed : step.needs)
      if (needed < i)
        reads.insert(from[needed].begin(), from[needed].end());
    if (step.computes) {
      Row row;
      row.layer = step.layer;
      row.op = step.op;
      row.reads = std::move(reads);
      from[i] = {rows.size()};
      rows.push_back(std::move(row));
    } else {
      from[i] = std::move(reads);
    }
    rows.back().share += step.share;
    row_after[i + 1] = rows.size() - 1;
  }
  for (const NetworkPicture::Cut& cut : network.cuts) {
    if (cut.position >= row_after.size())
      continue;
    Row& row = rows[row_after[cut.position]];
    auto& place = cut.refused.empty() ? row.cut : row.refused;
    if (place == nullptr)
      place = &cut;
  }
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (const std::size_t read : rows[r].reads) rows[read].last_read = r;
  // The outputs are needed to the end.
  for (Row& row : rows)
    if (row.last_read == 0)
      row.last_read = rows.size();
  return rows;
}

// A value keeps its lane until it is read for the last time; gives the number of lanes.
std::size_t assign_lanes(std::vector<Row>& rows) {
  std::vector<std::size_t> free_from;  // by lane: the row from which it is free
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::size_t lane = 0;
    while (lane < free_from.size() && free_from[lane] > r) ++lane;
    if (lane == free_from.size())
      free_from.push_back(0);
    rows[r].lane = lane;
    free_from[lane] = std::max(rows[r].last_read, r + 1);
  }
  return free_from.size();
}

class Svg {
 public:
  std::string out;
  void add(const char* format, auto... values) {
    const int size = std::snprintf(nullptr, 0, format, values...);
    std::string text(static_cast<std::size_t>(size) + 1, '\0');
    std::snprintf(text.data(), text.size(), format, values...);
    text.pop_back();
    out += text;
  }
  void text(double x, double y, const char* kind, std::string_view content) {
    add("<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, kind);
    out += escape_html(content);
    out += "</text>\n";
  }
  void title(std::string_view content) { out += "<title>" + escape_html(content) + "</title>"; }
};

// The end of a name says more than its beginning. Cuts between characters of UTF-8.
std::string shortened(const std::string& text, std::size_t limit) {
  if (display_width(text) <= limit)
    return text;
  std::size_t begin = text.size() - std::min(text.size(), limit - 1);
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xc0) == 0x80) ++begin;
  return "\xe2\x80\xa6" + text.substr(begin);
}

std::string plain_op(const std::string& op) {
  const auto colons = op.rfind("::");
  return colons == std::string::npos ? op : op.substr(colons + 2);
}

double largest_bytes(const NetworkPicture& network) {
  double most = 1;
  for (const NetworkPicture::Cut& cut : network.cuts)
    if (!cut.encoded.empty())
      most = std::max(most, cut.encoded.front().count());
  return most;
}

}  // namespace

std::string network_svg(const NetworkPicture& network) {
  std::vector<Row> rows = rows_of(network);
  const std::size_t lanes = assign_lanes(rows);
  const double names_x = 16 + lane_width * static_cast<double>(lanes) + 8;
  const double share_x = names_x + text_width, bytes_x = share_x + share_width + 24;
  const double width = bytes_x + bytes_width + 150;
  const double height = top + row_height * static_cast<double>(rows.size()) + 8;
  const double most = largest_bytes(network);
  const auto lane_x = [&](std::size_t lane) { return 16 + lane_width * static_cast<double>(lane); };
  const auto row_y = [&](std::size_t row) {
    return top + row_height * (static_cast<double>(row) + 0.5);
  };
  double largest_share = 1e-9;
  for (const Row& row : rows) largest_share = std::max(largest_share, row.share);

  Svg svg;
  svg.add(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"network\" role=\"img\" width=\"%.0f\" "
      "height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" aria-label=\"",
      width, height, width, height);
  svg.out += escape_html("The steps of " + network.name + " and what crosses each cut") + "\">\n";
  svg.text(names_x, 18, "head", "step");
  svg.text(share_x, 18, "head", "share of the pass");
  std::string codecs;
  for (const std::string& codec : network.codecs) codecs += (codecs.empty() ? "" : ", ") + codec;
  svg.text(bytes_x, 18, "head", "what crosses a cut behind it: " + codecs);

  // The input's own size: what crosses below it is less than sending the input.
  if (rows[0].cut != nullptr && !rows[0].cut->encoded.empty()) {
    const double x = bytes_x + bytes_width * rows[0].cut->encoded.front().count() / most;
    svg.add("<line class=\"input\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", x, top, x,
            height - 8);
  }
  // Values on their way: down their lane, and into each step that reads them.
  for (std::size_t r = 0; r < rows.size(); ++r)
    for (std::size_t reader = r + 1; reader < rows.size(); ++reader) {
      if (!rows[reader].reads.count(r))
        continue;
      const double x = lane_x(rows[r].lane), to = lane_x(rows[reader].lane);
      const double bend = row_y(reader - 1);
      svg.add("<path class=\"value\" d=\"M%.1f %.1fV%.1f", x, row_y(r), bend);
      svg.add("C%.1f %.1f %.1f %.1f %.1f %.1f\"/>\n", x, bend + row_height / 2, to,
              bend + row_height / 2, to, row_y(reader));
    }
  double before = 0;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const Row& row = rows[r];
    const double y = row_y(r);
    before += row.share;
    svg.out += "<g>";
    std::string title = row.layer + (row.op.empty() ? "" : "  " + row.op);
    if (r > 0)
      title += ": " + percent(row.share) + " of the pass";
    const NetworkPicture::Cut* cut = row.cut != nullptr ? row.cut : row.refused;
    if (cut != nullptr && cut->refused.empty()) {
      title += "\ncut " + cut->id + ":";
      for (std::size_t c = 0; c < cut->encoded.size() && c < network.codecs.size(); ++c)
        title += (c == 0 ? " " : ", ") + network.codecs[c] + " " + format(cut->encoded[c]);
      title += "; " + percent(cut->share) + " of the pass before it";
    } else if (cut != nullptr) {
      title += "\nno cut here: " + cut->refused;
    }
    svg.title(title);
    svg.add("<rect class=\"hover\" x=\"0\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
            y - row_height / 2, width, row_height);
    svg.add("<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\"/>", r == 0 ? "in" : "step",
            lane_x(row.lane), y, r == 0 ? 5.0 : 3.0 + 4.0 * std::sqrt(row.share / largest_share));
    svg.text(names_x, y + 4, "name",
             shortened(row.layer.empty() ? plain_op(row.op) : row.layer, 24));
    if (r > 0 && !row.layer.empty())
      svg.text(names_x + 170, y + 4, "soft", shortened(plain_op(row.op), 18));
    if (r > 0) {
      svg.add("<rect class=\"done\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"6\"/>", share_x,
              y - 3, share_width * std::min(before, 1.0));
      svg.add("<rect class=\"own\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"6\"/>",
              share_x + share_width * std::clamp(before - row.share, 0.0, 1.0), y - 3,
              std::max(1.0, share_width * row.share));
    }
    if (row.cut != nullptr) {
      double end = bytes_x;
      for (std::size_t c = 0; c < row.cut->encoded.size(); ++c) {
        const double length = std::max(1.5, bytes_width * row.cut->encoded[c].count() / most);
        const double thick =
            c == 0 ? 12 : 12 - 4 * static_cast<double>(std::min<std::size_t>(c, 2));
        svg.add("<rect class=\"c%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                std::min<std::size_t>(c, 2), bytes_x, y - thick / 2, length, thick);
        end = std::max(end, bytes_x + length);
      }
      if (!row.cut->encoded.empty())
        svg.text(end + 8, y + 4, "name", format(row.cut->encoded.front()));
    } else if (row.refused != nullptr) {
      svg.text(bytes_x, y + 4, "refused", "\xe2\x9c\x95 no cut: it would change the result");
    }
    svg.out += "</g>\n";
  }
  svg.out += "</svg>\n";
  return svg.out;
}

}  // namespace cleave::inline v0::report
