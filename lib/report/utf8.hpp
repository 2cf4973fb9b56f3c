// UTF-8, one character at a time, from text that need not be any.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cleave::inline v0::report {

struct Utf8Character {
  char32_t code = 0;
  std::size_t bytes = 1;  ///< how far to go on; 1 for a byte that is not UTF-8
  bool valid = false;
};

/// The first character of a text that is not empty (RFC 3629: no overlong forms, no surrogates).
inline Utf8Character next_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80)
    return {first, 1, true};
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length)
    return {};
  char32_t code = first & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80)
      return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr char32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
    return {};
  return {code, length, true};
}

}  // namespace cleave::inline v0::report
