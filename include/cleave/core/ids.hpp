// Identities that survive files and wires: models, cuts, hosts.
#pragma once

#include <cleave/core/export.hpp>

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cleave::inline v0::core {

/// A machine that takes part; today 0 is the edge and 1 the cloud.
using HostIndex = std::uint8_t;
inline constexpr HostIndex edge_host = 0;
inline constexpr HostIndex cloud_host = 1;

/// Which model this is. Latency, bytes and cuts bind to the structure, accuracy to the weights:
/// new weights do not void a profile.
struct Fingerprint {
  std::uint64_t structure = 0;
  std::uint64_t weights = 0;
  friend auto operator<=>(const Fingerprint&, const Fingerprint&) = default;
};

/// A division of the steps, by a hash of those before it: stable when other cuts are dropped or
/// renumbered, within one model structure.
struct CutId {
  std::uint64_t value = 0;
  friend auto operator<=>(const CutId&, const CutId&) = default;
};

/// "1f3a...-9c0e..." (structure-weights), 16 hexadecimal digits each.
CLEAVE_EXPORT std::string to_string(Fingerprint fingerprint);
/// 16 hexadecimal digits.
CLEAVE_EXPORT std::string to_string(CutId cut);
/// The inverse of to_string; nothing if the text is not such an id.
CLEAVE_EXPORT std::optional<CutId> parse_cut_id(std::string_view text);
CLEAVE_EXPORT std::optional<Fingerprint> parse_fingerprint(std::string_view text);

}  // namespace cleave::inline v0::core

template <>
struct std::hash<cleave::core::CutId> {
  std::size_t operator()(cleave::core::CutId id) const noexcept { return id.value; }
};
template <>
struct std::hash<cleave::core::Fingerprint> {
  std::size_t operator()(cleave::core::Fingerprint f) const noexcept {
    return f.structure ^ (f.weights * 0x9E3779B97F4A7C15ull);
  }
};
