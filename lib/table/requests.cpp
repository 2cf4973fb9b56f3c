#include "lib/table/csv.hpp"
#include "lib/table/csv_reader.hpp"
#include "lib/table/random.hpp"

#include <cleave/core/file.hpp>
#include <cleave/table/requests.hpp>
#include <cleave/table/workload.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

constexpr std::array patterns = {RequestPattern::weibull, RequestPattern::uniform,
                                 RequestPattern::bursts, RequestPattern::diurnal};

// A field as a number within a range.
Result<double> number_in(const std::string& field, double least, double most,
                         std::string_view column, const CsvReader& reader) {
  double value = 0;
  if (parse_number(field, value) && value >= least && value <= most)
    return value;
  return fail(Errc::corrupt, "not a sensible number: \"" + field.substr(0, 40) + "\"",
              reader.where(column));
}

// Whole nanoseconds, so that the last bit of a libm's logarithm does not matter.
Seconds rounded(double seconds) {
  return Seconds(std::round(seconds * 1e9) / 1e9);
}

double exponential(std::mt19937_64& engine, double mean) {
  return -std::log1p(-uniform(engine)) * mean;
}

std::vector<Seconds> deadlines(const RequestOptions& options, std::mt19937_64& engine) {
  std::vector<Seconds> out;
  if (options.pattern == RequestPattern::uniform) {
    const double range = (options.longest - options.shortest).count();
    for (std::size_t i = 0; i < options.count; ++i)
      out.push_back(std::clamp(rounded(options.shortest.count() + range * uniform(engine)),
                               options.shortest, options.longest));
    return out;
  }
  for (const RequestSpec& request : weibull_workload(options.count, options.seed, options.shortest,
                                                     options.longest, 0, options.shape))
    out.push_back(request.deadline);
  return out;
}

// The time from one arrival, at `now`, to the next, the one with this index.
double interval(const RequestOptions& options, double now, std::size_t index,
                std::mt19937_64& engine) {
  const double mean = 1 / options.rate;
  if (options.pattern == RequestPattern::bursts && options.burst > 1) {
    const auto size = static_cast<double>(options.burst);
    const double within = 0.1 * mean;
    const double between = size * mean - (size - 1) * within;
    return exponential(engine, index % options.burst == 0 ? between : within);
  }
  if (options.pattern != RequestPattern::diurnal)
    return exponential(engine, mean);
  constexpr double swing = 0.8;
  double next = now;
  for (;;) {
    next += exponential(engine, mean / (1 + swing));
    const double share =
        (1 - swing * std::cos(2 * std::numbers::pi * next / options.period.count())) / (1 + swing);
    if (uniform(engine) < share)
      return next - now;
  }
}

// Of deadlines and arrivals in a file.
constexpr double longest_ms = 1e15;

}  // namespace

Result<std::vector<TimedRequest>> parse_requests(std::string_view text, const std::string& name) {
  if (text.size() > requests_size_limit)
    return fail(Errc::exhausted, "more than 64 MiB of requests", name);
  CsvReader reader(text, name);
  const auto header = CsvHeader::read(reader);
  if (!header)
    return fail(header);
  const auto deadline = header->required("deadline_ms");
  if (!deadline)
    return fail(deadline);
  const std::size_t columns = header->names().size();
  const std::size_t arrival = header->find("arrival_ms");
  const std::size_t floor = header->find("accuracy_floor");
  std::vector<TimedRequest> out;
  std::vector<std::string> fields;
  for (;;) {
    const auto more = reader.next(fields);
    if (!more)
      return fail(more);
    if (!*more)
      break;
    if (out.size() == most_requests)
      return fail(Errc::exhausted, "more than a million requests", reader.where());
    if (const auto ok = header->fits(fields, reader); !ok)
      return fail(ok);
    TimedRequest request;
    const auto within = number_in(fields[*deadline], 1e-6, longest_ms, "deadline_ms", reader);
    if (!within)
      return fail(within);
    request.deadline = core::milliseconds(*within);
    if (arrival < columns) {
      const auto at = number_in(fields[arrival], 0, longest_ms, "arrival_ms", reader);
      if (!at)
        return fail(at);
      request.arrival = core::milliseconds(*at);
    }
    if (floor < columns) {
      const auto least = number_in(fields[floor], 0, 1, "accuracy_floor", reader);
      if (!least)
        return fail(least);
      request.accuracy_floor = *least;
    }
    out.push_back(request);
  }
  if (out.empty())
    return fail(Errc::corrupt, "there is no row after the header", reader.where());
  return out;
}

Result<std::vector<TimedRequest>> load_requests(const std::filesystem::path& path) {
  const auto text = core::read_text(path, requests_size_limit);
  if (!text)
    return fail(text);
  return parse_requests(*text, path.string());
}

std::string to_csv(const std::vector<TimedRequest>& requests) {
  const bool floors = std::any_of(requests.begin(), requests.end(),
                                  [](const TimedRequest& r) { return r.accuracy_floor > 0; });
  // Nanoseconds as milliseconds, without the digits that binary fractions add.
  const auto milliseconds = [](Seconds time) { return std::round(time.count() * 1e9) / 1e6; };
  CsvLines csv;
  csv.text("arrival_ms").text("deadline_ms");
  if (floors)
    csv.text("accuracy_floor");
  csv.end_line();
  for (const TimedRequest& request : requests) {
    csv.number(milliseconds(request.arrival)).number(milliseconds(request.deadline));
    if (floors)
      csv.number(request.accuracy_floor);
    csv.end_line();
  }
  return csv.take();
}

std::string_view to_string(RequestPattern pattern) {
  switch (pattern) {
    case RequestPattern::weibull:
      return "weibull";
    case RequestPattern::uniform:
      return "uniform";
    case RequestPattern::bursts:
      return "bursts";
    case RequestPattern::diurnal:
      return "diurnal";
  }
  return "unknown";
}

Result<RequestPattern> parse_request_pattern(std::string_view name) {
  std::string known;
  for (const RequestPattern pattern : patterns) {
    if (name == to_string(pattern))
      return pattern;
    known += (known.empty() ? "" : ", ") + std::string(to_string(pattern));
  }
  return fail(Errc::invalid_argument, "no such pattern of requests", std::string(name),
              "there are " + known);
}

Result<std::vector<TimedRequest>> make_requests(const RequestOptions& options) {
  const auto bad = [](const char* what, const char* where) {
    return fail(Errc::invalid_argument, what, where);
  };
  const auto positive = [](double value) { return value > 0 && value <= longest_ms / 1e3; };
  if (options.count == 0 || options.count > most_requests)
    return bad("there must be 1 to 1000000 requests", "requests");
  if (!positive(options.shortest.count()) || !positive(options.longest.count()) ||
      options.shortest > options.longest)
    return bad("deadlines must be above 0, the shortest not above the longest", "deadlines");
  if (!positive(options.shape))
    return bad("the shape must be above 0", "shape");
  if (!positive(options.rate))
    return bad("the rate must be above 0 requests a second", "rate");
  if (options.burst == 0)
    return bad("a burst has one request at least", "burst");
  if (!positive(options.period.count()))
    return bad("the period must be above 0", "period");
  std::mt19937_64 engine(options.seed);
  const std::vector<Seconds> within = deadlines(options, engine);
  std::vector<TimedRequest> out;
  double now = 0;
  for (std::size_t i = 0; i < options.count; ++i) {
    now += interval(options, now, i, engine);
    if (!(now * 1e3 <= longest_ms))
      return bad("so few requests that the last come after 30,000 years", "rate and burst");
    out.push_back({.arrival = rounded(now), .deadline = within[i]});
  }
  return out;
}

}  // namespace cleave::inline v0::table
