#include "lib/transport/tokens.hpp"

#include "lib/transport/openssl.hpp"

#include <cleave/core/file.hpp>
#include <cleave/transport/tls.hpp>

#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>

#include <algorithm>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::size_t max_tokens_file = 1U << 20;

std::array<unsigned char, 32> sum_of(std::string_view token) {
  std::array<unsigned char, 32> sum{};
  // Random tokens of 128 bits and more cannot be guessed from a fast sum.
  SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), sum.data());
  return sum;
}

bool graphic(char c) {
  return c > ' ' && c < 0x7f;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool parse_sum(std::string_view digits, std::array<unsigned char, 32>& sum) {
  if (digits.size() != 2 * sum.size())
    return false;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    if (high < 0 || low < 0)
      return false;
    sum[i] = static_cast<unsigned char>(16 * high + low);
  }
  return true;
}

// A word, taken off the front of `text`.
std::string_view word(std::string_view& text) {
  const std::size_t from = std::min(text.find_first_not_of(" \t\r"), text.size());
  const std::size_t to = std::min(text.find_first_of(" \t\r", from), text.size());
  const auto found = text.substr(from, to - from);
  text.remove_prefix(to);
  return found;
}

}  // namespace

bool is_token(std::string_view token) {
  return token.size() >= min_token_length && token.size() <= max_token_length &&
         std::all_of(token.begin(), token.end(), graphic);
}

Result<Tokens> Tokens::load(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(Errc::permission_denied, "others than its owner may add tokens", path,
                "chmod go-w it");
  const auto text = core::read_text(path, max_tokens_file);
  if (!text)
    return fail(text);
  return parse(*text, path);
}

Result<Tokens> Tokens::parse(std::string_view text, const std::string& where) {
  Tokens tokens;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto digits = word(line);
    if (digits.empty() || digits.front() == '#')
      continue;
    Entry entry;
    entry.name = word(line);
    if (!parse_sum(digits, entry.sum) || !word(line).empty() ||
        !std::all_of(entry.name.begin(), entry.name.end(), graphic))
      return fail(Errc::corrupt, "line " + std::to_string(number) + " is not a token's SHA-256",
                  where, "`cleave token` writes such lines: 64 hexadecimal digits, a name");
    tokens.entries_.push_back(std::move(entry));
  }
  if (tokens.entries_.empty())
    return fail(Errc::corrupt, "there is no token in the file", where,
                "`cleave token` adds one; nobody could connect without");
  return tokens;
}

std::optional<std::string> Tokens::admits(std::string_view token) const {
  const auto sum = sum_of(token);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_)
    if (CRYPTO_memcmp(entry.sum.data(), sum.data(), sum.size()) == 0)
      found = &entry;
  // A sum that fits is not enough: a short token would have been let in by hand.
  if (found == nullptr || !is_token(token))
    return std::nullopt;
  return found->name;
}

Result<std::string> make_token() {
  std::array<unsigned char, 32> random{};
  if (RAND_priv_bytes(random.data(), static_cast<int>(random.size())) != 1)
    return fail(Errc::internal, "no random numbers: " + openssl_complaint());
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string token;
  unsigned pending = 0, bits = 0;
  for (const unsigned char byte : random) {
    pending = pending << 8 | byte;
    for (bits += 8; bits >= 6; bits -= 6) token += digits[pending >> (bits - 6) & 63];
  }
  token += digits[pending << (6 - bits) & 63];
  return token;
}

Result<std::string> token_line(std::string_view token, std::string_view name) {
  if (!is_token(token))
    return fail(Errc::invalid_argument,
                "a token has " + std::to_string(min_token_length) + " to " +
                    std::to_string(max_token_length) + " printable characters without blanks",
                {}, "`cleave token` makes one");
  if (!std::all_of(name.begin(), name.end(), graphic))
    return fail(Errc::invalid_argument, "a token's name has no blanks", std::string(name));
  std::string line;
  for (const unsigned char byte : sum_of(token)) {
    line += "0123456789abcdef"[byte >> 4];
    line += "0123456789abcdef"[byte & 15];
  }
  return line + (name.empty() ? "" : " ") + std::string(name);
}

}  // namespace cleave::inline v0::transport
