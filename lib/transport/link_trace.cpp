#include <cleave/core/file.hpp>
#include <cleave/core/parse_units.hpp>
#include <cleave/transport/link_trace.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>

namespace cleave::inline v0::transport {
namespace {

using core::BytesPerSecond;
using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

enum Column : std::size_t { time_column, rate, delay, rate_down, jitter, column_count };
constexpr std::array<std::string_view, column_count> column_names = {"time_s", "rate", "delay",
                                                                     "rate_down", "jitter"};
constexpr std::size_t required_columns = 3;
// Less a nanosecond, since written times are not exact.
constexpr Seconds shortest_row(1e-3 - 1e-9), last_time(1e9);

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r");
  if (begin == std::string_view::npos)
    return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

// What stands before the next `separator`; `text` goes on behind it.
std::string_view take(std::string_view& text, char separator) {
  const std::size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return trimmed(part);
}

class Parser {
 public:
  explicit Parser(const std::string& name) : name_(name) {}

  Result<std::vector<LinkTrace::Row>> parse(std::string_view text) {
    std::vector<LinkTrace::Row> rows;
    for (; !text.empty(); ++line_) {
      const std::string_view line = take(text, '\n');
      if (line.empty() || line.front() == '#')
        continue;
      if (columns_.empty()) {
        if (auto done = header(line); !done)
          return fail(done);
        continue;
      }
      if (rows.size() == LinkTrace::row_limit)
        return fail(Errc::exhausted, "more than " + std::to_string(LinkTrace::row_limit) + " rows",
                    name_, "use a part of the trace, or longer steps");
      auto next = row(line);
      if (!next)
        return fail(next);
      if (rows.empty() ? next->at.count() != 0 : !(next->at - rows.back().at >= shortest_row))
        return wrong(rows.empty() ? "the first row's time_s is not 0"
                                  : "time_s does not increase by a millisecond or more",
                     "a row holds from its time_s until that of the next");
      if (next->at > last_time)
        return wrong("time_s is above a billion seconds", "write seconds since the trace began");
      rows.push_back(*next);
    }
    if (rows.empty())
      return wrong(columns_.empty() ? "there is no header" : "there is no row below the header",
                   "write a first line time_s,rate,delay and below it rows like 0,20mbit,5ms");
    return rows;
  }

 private:
  [[nodiscard]] tl::unexpected<core::Error> wrong(std::string what, std::string hint) const {
    return fail(Errc::corrupt, std::move(what), name_ + ":" + std::to_string(line_),
                std::move(hint));
  }

  Result<void> header(std::string_view line) {
    std::array<bool, column_count> seen{};
    // Not what is empty behind the last comma, but what is between two.
    for (bool more = true; more;) {
      more = line.find(',') != std::string_view::npos;
      const std::string_view title = take(line, ',');
      const auto* known = std::find(column_names.begin(), column_names.end(), title);
      if (known == column_names.end())
        return wrong("no column is called '" + std::string(title.substr(0, 40)) + "'",
                     title == "loss" ? "the relay forwards TCP, which shows no loss; put it into "
                                       "the rate or use --stalls"
                                     : "the columns are time_s, rate, delay, and where wanted "
                                       "rate_down, jitter");
      const auto column = static_cast<std::size_t>(known - column_names.begin());
      if (seen[column])
        return wrong("the column '" + std::string(title) + "' is there twice", "leave one out");
      seen[column] = true;
      columns_.push_back(static_cast<Column>(column));
    }
    for (std::size_t column = 0; column < required_columns; ++column)
      if (!seen[column])
        return wrong("there is no column '" + std::string(column_names[column]) + "'",
                     "the first line names the columns: time_s,rate,delay");
    return {};
  }

  Result<LinkTrace::Row> row(std::string_view line) {
    std::array<double, column_count> values{};
    values[rate_down] = -1;
    const auto fields = static_cast<std::size_t>(std::count(line.begin(), line.end(), ',')) + 1;
    if (fields != columns_.size())
      return wrong(std::to_string(fields) + " fields, but the header names " +
                       std::to_string(columns_.size()),
                   "one field a column, with commas between");
    for (const Column column : columns_) {
      const auto value = number(column, take(line, ','));
      if (!value)
        return wrong(std::string(column_names[column]) + ": " + value.error().what + ": '" +
                         value.error().where + "'",
                     value.error().hint);
      values[column] = *value;
    }
    return LinkTrace::Row{Seconds(values[time_column]), BytesPerSecond(values[rate]),
                          BytesPerSecond(values[rate_down] < 0 ? values[rate] : values[rate_down]),
                          Seconds(values[delay]), Seconds(values[jitter])};
  }

  static Result<double> number(Column column, std::string_view field) {
    if (column == rate || column == rate_down) {
      const auto value = core::parse_rate(field, BytesPerSecond(1.0 / 8));
      return value ? Result<double>(value->count()) : fail(value);
    }
    const auto value =
        core::parse_duration(field, column == time_column ? Seconds(1) : core::milliseconds(1));
    return value ? Result<double>(value->count()) : fail(value);
  }

  const std::string& name_;
  std::size_t line_ = 1;
  std::vector<Column> columns_;
};

}  // namespace

Result<LinkTrace> LinkTrace::parse(std::string_view text, const std::string& name) {
  auto rows = Parser(name).parse(text);
  if (!rows)
    return fail(rows);
  LinkTrace trace;
  trace.rows_ = std::move(*rows);
  const std::size_t last = trace.rows_.size() - 1;
  trace.duration_ = last == 0 ? Seconds(1) : trace.rows_[last].at * 2.0 - trace.rows_[last - 1].at;
  return trace;
}

Result<LinkTrace> LinkTrace::read(const std::filesystem::path& path) {
  const auto text = core::read_text(path, size_limit);
  return text ? parse(*text, path.string()) : fail(text);
}

Seconds LinkTrace::end_of(const Place& place, bool repeat) const {
  if (place.row + 1 < rows_.size())
    return duration_ * place.rounds + rows_[place.row + 1].at;
  // Of a trace of one row nothing ever changes.
  return repeat && rows_.size() > 1 ? duration_ * (place.rounds + 1)
                                    : Seconds(std::numeric_limits<double>::infinity());
}

LinkTrace::Place LinkTrace::place(Seconds now, bool repeat) const {
  const double rounds = repeat ? std::max(0.0, std::floor(now / duration_)) : 0;
  const auto behind = std::upper_bound(rows_.begin(), rows_.end(), now - duration_ * rounds,
                                       [](Seconds t, const Row& row) { return t < row.at; });
  Place place{static_cast<std::size_t>(std::max<std::ptrdiff_t>(behind - rows_.begin(), 1)) - 1,
              rounds};
  // Dividing may round to just before a row that has begun. Rows are longer than any such error.
  while (end_of(place, repeat) <= now)
    place = place.row + 1 < rows_.size() ? Place{place.row + 1, place.rounds}
                                         : Place{0, place.rounds + 1};
  return place;
}

const LinkTrace::Row& LinkTrace::at(Seconds now, bool repeat) const {
  return rows_[place(now, repeat).row];
}

Seconds LinkTrace::next_change(Seconds now, bool repeat) const {
  return end_of(place(now, repeat), repeat);
}

}  // namespace cleave::inline v0::transport
