#include <cleave/core/ids.hpp>

#include <charconv>

namespace cleave::inline v0::core {
namespace {

std::string hex(std::uint64_t value) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, value >>= 4) text[static_cast<std::size_t>(i)] = digits[value & 15];
  return text;
}

std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  if (text.size() != 16)
    return std::nullopt;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

}  // namespace

std::string to_string(Fingerprint fingerprint) {
  return hex(fingerprint.structure) + "-" + hex(fingerprint.weights);
}

std::string to_string(CutId cut) {
  return hex(cut.value);
}

std::optional<CutId> parse_cut_id(std::string_view text) {
  if (const auto value = parse_hex(text))
    return CutId{*value};
  return std::nullopt;
}

std::optional<Fingerprint> parse_fingerprint(std::string_view text) {
  if (text.size() != 33 || text[16] != '-')
    return std::nullopt;
  const auto structure = parse_hex(text.substr(0, 16));
  const auto weights = parse_hex(text.substr(17));
  if (!structure || !weights)
    return std::nullopt;
  return Fingerprint{*structure, *weights};
}

}  // namespace cleave::inline v0::core
