// The tokens that a server admits, known by their sums only; not installed.
#pragma once

#include <cleave/core/result.hpp>

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::transport {

// Immutable, so safe to share.
class Tokens {
 public:
  // The format is ServerSecurity::tokens_file's. Errc::not_found, permission_denied (unreadable, or
  // others may write to it), corrupt (a line that is none, or no token at all).
  static core::Result<Tokens> load(const std::string& path);
  static core::Result<Tokens> parse(std::string_view text, const std::string& where);

  // The name of the token ("" if it has none), nothing if it is not admitted. Takes the same time
  // whichever it is, and whether it is one.
  [[nodiscard]] std::optional<std::string> admits(std::string_view token) const;
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::array<unsigned char, 32> sum{};
    std::string name;
  };
  std::vector<Entry> entries_;
};

// Whether it has the length and the characters of a token.
bool is_token(std::string_view token);

}  // namespace cleave::inline v0::transport
