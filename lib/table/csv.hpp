// Comma-separated lines as RFC 4180 has them, with numbers that read back as they were.
#pragma once

#include <charconv>
#include <cmath>
#include <string>
#include <string_view>
#include <type_traits>

namespace cleave::inline v0::table {

class CsvLines {
 public:
  CsvLines& text(std::string_view value) {
    separate();
    if (value.find_first_of(",\"\r\n") == std::string_view::npos) {
      out_ += value;
      return *this;
    }
    out_ += '"';
    for (const char c : value) {
      if (c == '"')
        out_ += '"';
      out_ += c;
    }
    out_ += '"';
    return *this;
  }
  template <class T>
  requires std::is_arithmetic_v<T> CsvLines& number(T value) {
    separate();
    char digits[40];
    auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    // The shortest text of 100000 is 1e+05; a count of bytes should look like one.
    if constexpr (std::is_floating_point_v<T>)
      if (value == std::trunc(value) && std::abs(value) < 1e15)
        end = std::to_chars(digits, digits + sizeof digits, static_cast<long long>(value)).ptr;
    out_.append(digits, end);
    return *this;
  }
  void end_line() {
    out_ += '\n';
    fresh_ = true;
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void separate() {
    if (!fresh_)
      out_ += ',';
    fresh_ = false;
  }
  std::string out_;
  bool fresh_ = true;
};

}  // namespace cleave::inline v0::table
