#include "lib/report/escape.hpp"

#include "lib/report/utf8.hpp"

#include <algorithm>
#include <cctype>

namespace cleave::inline v0::report {

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Character next = next_utf8(text);
    const bool control =
        (next.code < 0x20 && next.code != '\t' && next.code != '\n') || next.code == 0x7f;
    if (!next.valid || control) {
      out += "\xef\xbf\xbd";
    } else {
      switch (next.code) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        case '"':
          out += "&quot;";
          break;
        case '\'':
          out += "&#39;";
          break;
        default:
          out += text.substr(0, next.bytes);
      }
    }
    text.remove_prefix(next.bytes);
  }
  return out;
}

std::string escape_json_for_script(std::string json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    // Outside of strings JSON has none of these.
    if (c == '<')
      out += "\\u003c";
    else if (c == '>')
      out += "\\u003e";
    else if (c == '&')
      out += "\\u0026";
    else
      out += c;
  }
  return out;
}

std::string escape_source_for_script(std::string_view source) {
  const auto starts = [](std::string_view text, std::string_view lower) {
    return text.size() >= lower.size() &&
           std::equal(lower.begin(), lower.end(), text.begin(), [](char a, char b) {
             return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
           });
  };
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    const std::string_view rest = source.substr(i);
    out += source[i];
    // A backslash before "/" or "!" changes neither a string nor a regular expression.
    if (starts(rest, "</script") || starts(rest, "<!--"))
      out += '\\';
  }
  return out;
}

}  // namespace cleave::inline v0::report
