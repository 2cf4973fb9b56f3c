// Little-endian messages, written without surprises and read without trust.
#pragma once

#include <cleave/core/result.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace cleave::inline v0::core {

/// Appends numbers and strings to a buffer, little-endian.
class ByteWriter {
 public:
  explicit ByteWriter(std::vector<std::byte>& out) : out_(out) {}

  template <class T>
  requires(std::is_arithmetic_v<T> || std::is_enum_v<T>) void put(T value) {
    static_assert(std::endian::native == std::endian::little,
                  "cleave's messages are little-endian; this machine is not supported yet");
    const auto* p = reinterpret_cast<const std::byte*>(&value);
    out_.insert(out_.end(), p, p + sizeof value);
  }
  /// u32 length, then the bytes.
  void put_string(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    put_bytes(std::as_bytes(std::span(text.data(), text.size())));
  }
  /// The bytes alone.
  void put_bytes(std::span<const std::byte> bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
  }

 private:
  std::vector<std::byte>& out_;
};

/// Reads what a ByteWriter wrote. The first read past the end, or over a bound, makes the reader
/// fail; from then on it gives zeros and empty spans, so a parser checks ok() once, before it uses
/// anything. Never allocates more than the bytes that are there.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T> T get() {
    T value{};
    const auto bytes = take(sizeof value);
    if (!bytes.empty())
      std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  /// A count of things that take at least `each` bytes: fails if so many cannot be there.
  std::uint32_t get_count(std::size_t each, std::uint32_t limit) {
    const auto count = get<std::uint32_t>();
    if (count > limit || (each != 0 && count > rest_.size() / each)) {
      failed_ = true;
      return 0;
    }
    return count;
  }
  std::string get_string(std::uint32_t limit) {
    const auto bytes = take(get_count(1, limit));
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::span<const std::byte> take(std::size_t count) {
    if (failed_ || count > rest_.size()) {
      failed_ = true;
      return {};
    }
    const auto bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  [[nodiscard]] std::span<const std::byte> rest() const { return rest_; }
  [[nodiscard]] bool ok() const { return !failed_; }
  /// Everything was read and nothing failed.
  [[nodiscard]] bool finished() const { return !failed_ && rest_.empty(); }

 private:
  std::span<const std::byte> rest_;
  bool failed_ = false;
};

}  // namespace cleave::inline v0::core
