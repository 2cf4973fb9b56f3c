// Fast non-cryptographic hashing (XXH3-64) for fingerprints, cut ids and file checksums.
#pragma once

#include <cleave/core/export.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace cleave::inline v0::core {

/// XXH3-64 of the bytes; the same on every machine.
CLEAVE_EXPORT std::uint64_t hash_bytes(std::span<const std::byte> bytes, std::uint64_t seed = 0);
CLEAVE_EXPORT std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0);

/// hash_bytes() of bytes that come in parts. Used by one thread at a time.
class CLEAVE_EXPORT Hasher {
 public:
  explicit Hasher(std::uint64_t seed = 0);
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  ~Hasher();
  void add(std::span<const std::byte> bytes);
  /// Of all that was added so far.
  [[nodiscard]] std::uint64_t hash() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cleave::inline v0::core
