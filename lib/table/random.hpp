// Draws from <random>'s engine, which the standard fixes bit for bit. Its distributions give other
// numbers in other standard libraries, so draws are made from the engine's bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>

namespace cleave::inline v0::table {

/// In [0, 1).
inline double uniform(std::mt19937_64& engine) {
  return static_cast<double>(engine() >> 11) * 0x1p-53;
}

/// Below `bound`, without bias: draws from the incomplete last block are thrown away.
inline std::size_t below(std::mt19937_64& engine, std::size_t bound) {
  const std::uint64_t limit = std::numeric_limits<std::uint64_t>::max() / bound * bound;
  std::uint64_t draw = engine();
  while (draw >= limit) draw = engine();
  return draw % bound;
}

}  // namespace cleave::inline v0::table
