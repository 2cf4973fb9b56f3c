#include "lib/transport/codecs.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;

constexpr std::array<std::string_view, 9> names{"raw", "fp16", "bf16", "int8", "int8c",
                                                "q6",  "q4",   "int4", "int2"};
constexpr std::string_view zstd = "+zstd";
constexpr int levels = most_zstd_level - least_zstd_level + 1;

// Every codec there is; made when the first is asked for, never changed.
class Table {
 public:
  static const Table& get() {
    static const Table table;
    return table;
  }

  [[nodiscard]] const Codec* plain(std::size_t which) const { return plain_[which].get(); }
  [[nodiscard]] const Codec* compressed(std::size_t which) const { return default_[which].get(); }
  [[nodiscard]] const Codec* compressed(std::size_t which, int level) const {
    return at_level_[which][static_cast<std::size_t>(level - least_zstd_level)].get();
  }

 private:
  using Owned = std::unique_ptr<const Codec>;

  Table()
      : plain_{make_raw(),      make_fp16(),        make_bf16(),
               make_uniform(8), make_per_channel(), make_grouped(6),
               make_grouped(4), make_uniform(4),    make_uniform(2)} {
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::string name = std::string(names[i]) + std::string(zstd);
      const bool halves = names[i] == "fp16" || names[i] == "bf16";
      default_[i] = make_zstd(*plain_[i], halves, name, 0);
      for (int level = least_zstd_level; level <= most_zstd_level; ++level)
        at_level_[i][static_cast<std::size_t>(level - least_zstd_level)] =
            make_zstd(*plain_[i], halves, name + ":" + std::to_string(level), level);
    }
  }

  std::array<Owned, names.size()> plain_, default_;
  std::array<std::array<Owned, levels>, names.size()> at_level_;
};

// Nothing unless `text` is a level as std::to_string() writes it.
std::optional<int> level_of(std::string_view text) {
  int level = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), level);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(level) != text ||
      level < least_zstd_level || level > most_zstd_level)
    return std::nullopt;
  return level;
}

const Codec* find(std::string_view name) {
  const std::size_t plus = std::min(name.find('+'), name.size());
  const auto found = std::find(names.begin(), names.end(), name.substr(0, plus));
  if (found == names.end())
    return nullptr;
  const auto which = static_cast<std::size_t>(found - names.begin());
  std::string_view rest = name.substr(plus);
  if (rest.empty())
    return Table::get().plain(which);
  if (!rest.starts_with(zstd))
    return nullptr;
  rest.remove_prefix(zstd.size());
  if (rest.empty())
    return Table::get().compressed(which);
  const auto level = rest.front() == ':' ? level_of(rest.substr(1)) : std::nullopt;
  return level ? Table::get().compressed(which, *level) : nullptr;
}

}  // namespace

Codec::~Codec() = default;

std::size_t Codec::header_size(const BlockShape&) const {
  return 0;
}

std::span<const std::string_view> codec_names() {
  return names;
}

Result<const Codec*> find_codec(std::string_view name) {
  if (const Codec* codec = find(name))
    return codec;
  std::string hint = "there are ";
  for (const std::string_view known : names) hint += std::string(known) + ", ";
  hint += "each alone or followed by +zstd or +zstd:LEVEL, from " +
          std::to_string(least_zstd_level) + " to " + std::to_string(most_zstd_level);
  return fail(Errc::not_found, "no such codec", std::string(name.substr(0, 64)), std::move(hint));
}

}  // namespace cleave::inline v0::transport
