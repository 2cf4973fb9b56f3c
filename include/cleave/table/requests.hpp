// Requests to replay: files of them, and made-up ones.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::table {

struct TimedRequest {
  core::Seconds arrival;      ///< since the first could have come
  core::Seconds deadline;     ///< from the request's arrival
  double accuracy_floor = 0;  ///< 0..1
  friend bool operator==(const TimedRequest&, const TimedRequest&) = default;
};

/// Larger files, and more requests, are refused.
inline constexpr std::size_t requests_size_limit = std::size_t{64} << 20;
inline constexpr std::size_t most_requests = 1'000'000;

/// Reads a CSV (see parse_observations()) with a header and the column `deadline_ms`; `arrival_ms`
/// and `accuracy_floor` are optional, others are ignored. In the order of the file.
/// Errc::corrupt with the line: no rows, no such column, a row of another length, a deadline that
/// is no number above 0, an arrival that is none of 0 or more, a floor beyond 0..1.
/// Errc::exhausted: beyond the limits above.
CLEAVE_EXPORT core::Result<std::vector<TimedRequest>> parse_requests(std::string_view text,
                                                                     const std::string& name);
/// The same of a file; further errors are those of core::read_text.
CLEAVE_EXPORT core::Result<std::vector<TimedRequest>> load_requests(
    const std::filesystem::path& path);
/// Columns arrival_ms and deadline_ms, and accuracy_floor where one is above 0.
CLEAVE_EXPORT std::string to_csv(const std::vector<TimedRequest>& requests);

enum class RequestPattern : std::uint8_t {
  weibull,  ///< Weibull deadlines; arrivals as they come (a Poisson process)
  uniform,  ///< deadlines as likely anywhere in their range; the same arrivals
  bursts,   ///< Weibull deadlines; several requests close together, then nothing
  diurnal,  ///< Weibull deadlines; more by day than by night
};
CLEAVE_EXPORT std::string_view to_string(RequestPattern pattern);
/// Errc::invalid_argument with the names there are.
CLEAVE_EXPORT core::Result<RequestPattern> parse_request_pattern(std::string_view name);

struct RequestOptions {
  RequestPattern pattern = RequestPattern::weibull;
  std::size_t count = 1000;
  std::uint64_t seed = 1;
  /// The smallest and the largest deadline; see weibull_workload().
  core::Seconds shortest = core::milliseconds(100), longest = core::Seconds(5);
  double shape = 1;                            ///< of the Weibull distribution
  double rate = 1;                             ///< requests a second, on average
  std::size_t burst = 10;                      ///< requests of one burst
  core::Seconds period = core::Seconds(3600);  ///< from one noon to the next
};

/// Arrivals: intervals are exponentially distributed. Bursts: those between the requests of a burst
/// are a tenth of 1/rate on average, those between bursts make up for it. Diurnal: the rate is
/// rate x (1 - 0.8 cos(2 pi t / period)), by thinning (Lewis and Shedler 1979), so it begins at
/// midnight. Times are whole nanoseconds. Equal options give equal requests on every machine.
/// Errc::invalid_argument: no requests or more than most_requests, a shape, rate, burst or period
/// that is not above 0, deadlines that are not above 0, ascending and finite.
CLEAVE_EXPORT core::Result<std::vector<TimedRequest>> make_requests(const RequestOptions& options);

}  // namespace cleave::inline v0::table
