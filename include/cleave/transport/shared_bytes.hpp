// Bytes that several parties hold and nobody copies.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace cleave::inline v0::transport {

/// Bytes that live, and stay as they are, as long as their owner is held: a tensor's storage, say,
/// or a file's map.
struct SharedBytes {
  SharedBytes() = default;
  SharedBytes(std::span<const std::byte> what, std::shared_ptr<const void> holder)
      : bytes(what), owner(std::move(holder)) {}
  /// Takes them over, without a copy.
  SharedBytes(std::vector<std::byte> what) {  // NOLINT(google-explicit-constructor)
    if (what.empty())
      return;
    const auto holder = std::make_shared<const std::vector<std::byte>>(std::move(what));
    bytes = *holder;
    owner = holder;
  }

  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

}  // namespace cleave::inline v0::transport
