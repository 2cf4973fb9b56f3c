// Records of a comma-separated file as RFC 4180 has them, and the numbers in them.
#pragma once

#include <cleave/core/result.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::table {

/// Reads one record after another: quoted fields, CRLF and LF, a byte order mark. Lines without
/// anything in them are skipped. The text must outlive the reader.
class CsvReader {
 public:
  /// `name` is the file's, for errors.
  CsvReader(std::string_view text, std::string name);

  /// The next record's fields; false at the end. Errc::corrupt with the line: a quote that is not
  /// closed, something after a closing quote, a quote within a bare field, a NUL, more than 4096
  /// fields, a field of more than 4096 bytes.
  [[nodiscard]] core::Result<bool> next(std::vector<std::string>& fields);
  /// Of the record last read, where it begins; from 1.
  [[nodiscard]] std::size_t line() const { return line_; }
  /// "obs.csv:12", or with a column "obs.csv:12, column latency_ms".
  [[nodiscard]] std::string where(std::string_view column = {}) const;

 private:
  core::Result<void> field(std::string& out, bool& last);

  std::string_view text_;
  std::string name_;
  std::size_t at_ = 0;
  std::size_t line_ = 0;
  std::size_t next_line_ = 1;
};

/// The columns of a header by their names, without the blanks around them.
class CsvHeader {
 public:
  /// Errc::corrupt: no header, or a name that occurs twice.
  static core::Result<CsvHeader> read(CsvReader& reader);

  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  /// Errc::corrupt with the columns there are.
  [[nodiscard]] core::Result<std::size_t> required(std::string_view name) const;
  /// names().size() if there is no such column.
  [[nodiscard]] std::size_t find(std::string_view name) const;
  /// Errc::corrupt: another number of fields than the header has.
  [[nodiscard]] core::Result<void> fits(const std::vector<std::string>& fields,
                                        const CsvReader& reader) const;

 private:
  std::vector<std::string> names_;
  std::string where_;
};

/// Without blanks and tabs at either end.
std::string_view trimmed(std::string_view text);
/// The whole text as a finite number; false if it is none.
bool parse_number(std::string_view text, double& number);

}  // namespace cleave::inline v0::table
