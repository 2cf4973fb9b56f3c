// Random numbers that are the same with every standard library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace cleave::inline v0::optimizer {

/// std::mt19937_64 is specified bit for bit; the standard's distributions and shuffle are not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t next() { return engine_(); }
  /// Uniform in [0, n), n > 0, by rejection.
  std::uint64_t below(std::uint64_t n) {
    const std::uint64_t unfair = (UINT64_MAX % n + 1) % n;  // 2^64 mod n
    for (;;) {
      const std::uint64_t value = engine_();
      if (value <= UINT64_MAX - unfair)
        return value % n;
    }
  }
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace cleave::inline v0::optimizer
