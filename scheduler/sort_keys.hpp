// Sorting a thousand numbers in microseconds, whatever their order was.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace cleave::inline v0::scheduler {

/// What rows are sorted by, without the rest of them.
struct Key {
  double value;
  std::uint32_t row;
};

/// Puts them in ascending order of their values, which must not be NaN; equal ones in any order.
/// `spare` must be at least as long. Allocates nothing.
///
/// The bits of doubles of one sign are ordered like the doubles. So a radix sort (Knuth, The Art of
/// Computer Programming 3, 5.2.5) by the 24 bits in which they differ first leaves next to nothing
/// for an insertion sort to do. Comparing sorts guess each comparison's outcome wrong half the
/// time, which takes four times as long. Where that would leave much to do, std::sort does it.
inline void sort_keys(std::span<Key> keys, std::span<Key> spare) {
  constexpr std::size_t few = 64, digits = 3, radix = 256, digit_bits = 8;
  const auto ascending = [](const Key& a, const Key& b) { return a.value < b.value; };
  if (keys.size() < few) {
    std::sort(keys.begin(), keys.end(), ascending);
    return;
  }
  const auto [first, last] = std::minmax_element(keys.begin(), keys.end(), ascending);
  if (first->value < 0) {
    std::sort(keys.begin(), keys.end(), ascending);
    return;
  }
  const auto least = std::bit_cast<std::uint64_t>(first->value + 0.0);  // and not -0
  const auto range = std::bit_cast<std::uint64_t>(last->value + 0.0) - least;
  const auto shift =
      std::max(0, static_cast<int>(std::bit_width(range)) - int{digits * digit_bits});
  const auto place = [&](const Key& key) {
    return (std::bit_cast<std::uint64_t>(key.value + 0.0) - least) >> shift;
  };
  std::array<std::array<std::uint32_t, radix>, digits> starts{};
  for (const Key& key : keys) {
    const std::uint64_t at = place(key);
    for (std::size_t d = 0; d < digits; ++d) ++starts[d][(at >> (d * digit_bits)) % radix];
  }
  for (auto& counts : starts) {
    std::uint32_t sum = 0;
    for (std::uint32_t& count : counts) sum += std::exchange(count, sum);
  }
  std::span<Key> from = keys, to = spare.first(keys.size());
  for (std::size_t d = 0; d < digits; ++d) {
    for (const Key& key : from) to[starts[d][(place(key) >> (d * digit_bits)) % radix]++] = key;
    std::swap(from, to);
  }
  // Three passes end in the spare ones. What has all 24 bits alike is put in order on the way back;
  // more than so many moves mean that far too many are alike.
  std::size_t moves = 8 * keys.size();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    std::size_t at = i;
    for (; at > 0 && from[i].value < keys[at - 1].value && moves > 0; --at, --moves)
      keys[at] = keys[at - 1];
    keys[at] = from[i];
  }
  if (moves == 0)
    std::sort(keys.begin(), keys.end(), ascending);
}

}  // namespace cleave::inline v0::scheduler
