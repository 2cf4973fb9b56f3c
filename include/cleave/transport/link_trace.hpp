// How a link's rate and delay change over time, from a CSV file.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::transport {

/// A link that is constant between the times of its rows. Immutable once read; copies are cheap
/// enough (48 bytes a row).
class CLEAVE_EXPORT LinkTrace {
 public:
  struct Row {
    core::Seconds at;               ///< since the trace began; the first row's is 0
    core::BytesPerSecond up, down;  ///< 0: nothing moves in that direction until the next row
    core::Seconds delay, jitter;    ///< one way
  };
  /// Bounds on a file: its bytes and its rows.
  static constexpr std::size_t size_limit = 16U << 20, row_limit = 500'000;

  /// CSV. Its first line names the columns, in any order: `time_s`, `rate` and `delay`, and where
  /// wanted `rate_down` (else as `rate`) and `jitter` (else 0). Rates are bit/s or have a unit
  /// (20mbit, 500kbit, 2.5MB), delays and jitter milliseconds or with a unit (250us, 5ms, 2s),
  /// times seconds that begin at 0 and increase by 1 ms or more, to at most 1e9. Blank lines and
  /// lines that begin with # are left out.
  ///
  /// Errc::corrupt with file and line: a column unknown, missing or named twice, a field too many
  /// or too few, no number, a time that does not increase so, or no row; exhausted: more than
  /// row_limit rows. `name` is what errors call the file.
  static core::Result<LinkTrace> parse(std::string_view text, const std::string& name);
  /// The same of a file. Also Errc::not_found, permission_denied, io; exhausted: larger than
  /// size_limit.
  static core::Result<LinkTrace> read(const std::filesystem::path& path);

  [[nodiscard]] const std::vector<Row>& rows() const { return rows_; }
  /// How long the trace takes: its last row lasts as long as the one before it (1 s if there is
  /// none).
  [[nodiscard]] core::Seconds duration() const { return duration_; }
  /// What holds `now` seconds (at most 1e9) after the trace began: behind its end the last row, or
  /// with `repeat` all of it again.
  [[nodiscard]] const Row& at(core::Seconds now, bool repeat) const;
  /// When the next row begins after `now`; infinite if none does.
  [[nodiscard]] core::Seconds next_change(core::Seconds now, bool repeat) const;

 private:
  LinkTrace() = default;
  // The row that holds at `now`, and how often the trace was gone through before.
  struct Place {
    std::size_t row;
    double rounds;
  };
  [[nodiscard]] Place place(core::Seconds now, bool repeat) const;
  [[nodiscard]] core::Seconds end_of(const Place& place, bool repeat) const;
  std::vector<Row> rows_;
  core::Seconds duration_;
};

}  // namespace cleave::inline v0::transport
