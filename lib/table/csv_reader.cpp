#include "lib/table/csv_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::size_t most_fields = 4096;
constexpr std::size_t longest_field = 4096;

}  // namespace

CsvReader::CsvReader(std::string_view text, std::string name)
    : text_(text), name_(std::move(name)) {
  if (text_.substr(0, 3) == "\xEF\xBB\xBF")
    at_ = 3;
}

std::string CsvReader::where(std::string_view column) const {
  return name_ + ":" + std::to_string(line_) +
         (column.empty() ? "" : ", column " + std::string(column));
}

Result<bool> CsvReader::next(std::vector<std::string>& fields) {
  while (at_ < text_.size() && (text_[at_] == '\n' || text_[at_] == '\r')) {
    next_line_ += text_[at_] == '\n';
    ++at_;
  }
  fields.clear();
  if (at_ >= text_.size())
    return false;
  line_ = next_line_;
  for (bool last = false; !last;) {
    if (fields.size() == most_fields)
      return fail(Errc::corrupt, "more than 4096 fields", where());
    fields.emplace_back();
    if (const auto read = field(fields.back(), last); !read)
      return fail(read);
  }
  return true;
}

Result<void> CsvReader::field(std::string& out, bool& last) {
  const bool quoted = at_ < text_.size() && text_[at_] == '"';
  bool open = quoted;
  at_ += quoted;
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == '\0')
      return fail(Errc::corrupt, "a byte of value 0", where(), "this is no text file");
    if (open && c == '"' && at_ + 1 < text_.size() && text_[at_ + 1] == '"') {
      ++at_;
    } else if (open && c == '"') {
      open = false;
      continue;
    } else if (!open && (c == ',' || c == '\n' || c == '\r')) {
      break;
    } else if (quoted && !open) {
      return fail(Errc::corrupt, "something after a closing quote", where(),
                  "write a quote within quotes twice");
    } else if (!quoted && c == '"') {
      return fail(Errc::corrupt, "a quote within a field that does not begin with one", where(),
                  "quote the whole field");
    }
    next_line_ += c == '\n';
    if (out.size() == longest_field)
      return fail(Errc::corrupt, "a field of more than 4096 bytes", where(),
                  "is a quote not closed?");
    out += c;
  }
  if (open)
    return fail(Errc::corrupt, "a quote that is not closed", where());
  last = at_ >= text_.size() || text_[at_] != ',';
  // The end of the line is left to next(), which skips it.
  at_ += last ? 0 : 1;
  return {};
}

Result<CsvHeader> CsvHeader::read(CsvReader& reader) {
  CsvHeader header;
  const auto found = reader.next(header.names_);
  if (!found)
    return fail(found);
  if (!*found)
    return fail(Errc::corrupt, "the file is empty", reader.where(), "it needs a header");
  header.where_ = reader.where();
  for (std::string& name : header.names_) name = trimmed(name);
  std::vector<std::string> sorted = header.names_;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 1; i < sorted.size(); ++i)
    if (sorted[i] == sorted[i - 1] && !sorted[i].empty())
      return fail(Errc::corrupt, "the column " + sorted[i] + " occurs twice", header.where_);
  return header;
}

std::size_t CsvHeader::find(std::string_view name) const {
  return static_cast<std::size_t>(std::find(names_.begin(), names_.end(), name) - names_.begin());
}

Result<std::size_t> CsvHeader::required(std::string_view name) const {
  const std::size_t at = find(name);
  if (at < names_.size())
    return at;
  std::string there;
  for (std::size_t i = 0; i < std::min<std::size_t>(names_.size(), 8); ++i)
    there += (i > 0 ? ", " : "") + names_[i].substr(0, 40);
  return fail(Errc::corrupt, "there is no column " + std::string(name), where_,
              "the header begins with " + there);
}

Result<void> CsvHeader::fits(const std::vector<std::string>& fields,
                             const CsvReader& reader) const {
  if (fields.size() == names_.size())
    return {};
  return fail(Errc::corrupt,
              std::to_string(fields.size()) + " fields where the header has " +
                  std::to_string(names_.size()),
              reader.where());
}

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  return text;
}

bool parse_number(std::string_view text, double& number) {
  text = trimmed(text);
  if (text.size() > 1 && text.front() == '+' && text[1] != '-')
    text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return !text.empty() && error == std::errc() && end == text.data() + text.size() &&
         std::isfinite(number);
}

}  // namespace cleave::inline v0::table
