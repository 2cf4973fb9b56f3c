// What is sent and what is answered, the same for all peers: nobody gains by dropping data.
#pragma once

#include "bench/link/peer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace bench_link {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// The receiver's answer to one tensor.
struct Ack {
  std::uint64_t sequence = 0;  ///< the tensor's first eight bytes
  std::uint64_t sum = 0;       ///< of a byte in each cache line but the first
};
static_assert(sizeof(Ack) == 16);

inline constexpr std::size_t cache_line = 64;

/// Reads a tensor as far as a network's first layer would at least: each cache line once. The
/// tensor may come in pieces.
class Consumer {
 public:
  void add(std::span<const std::byte> piece) {
    for (std::size_t i = 0; position_ + i < sizeof ack_.sequence && i < piece.size(); ++i)
      first_[position_ + i] = piece[i];
    std::size_t at = (cache_line - position_ % cache_line) % cache_line;
    if (position_ == 0)
      at = cache_line;
    std::uint64_t sum = 0;
    for (; at < piece.size(); at += cache_line) sum += static_cast<std::uint64_t>(piece[at]);
    ack_.sum += sum;
    position_ += piece.size();
  }
  [[nodiscard]] Ack ack() {
    std::memcpy(&ack_.sequence, first_.data(), first_.size());
    return ack_;
  }

 private:
  Ack ack_;
  std::array<std::byte, sizeof(std::uint64_t)> first_{};
  std::size_t position_ = 0;
};

inline Ack consume(std::span<const std::byte> tensor) {
  Consumer consumer;
  consumer.add(tensor);
  return consumer.ack();
}

/// The sender's tensors: `in_flight` and one more, each with bytes of its own, numbered anew each
/// time it is sent. Not thread-safe.
class Tensors {
 public:
  Tensors(std::size_t bytes, std::size_t in_flight) : bytes_(bytes), slots_(in_flight + 1) {
    if (bytes < sizeof(std::uint64_t))
      throw std::invalid_argument("a tensor has at least 8 bytes here: its number");
    std::uint64_t state = 0x9E3779B97F4A7C15U;
    for (Slot& slot : slots_) {
      slot.bytes = std::make_shared<std::vector<std::byte>>(bytes);
      for (std::size_t at = 0; at < bytes; at += sizeof state) {  // xorshift64
        state ^= state << 13U;
        state ^= state >> 7U;
        state ^= state << 17U;
        std::memcpy(slot.bytes->data() + at, &state, std::min(sizeof state, bytes - at));
      }
      slot.sum = consume(*slot.bytes).sum;
    }
  }

  /// One that is not under way. Its bytes stay as they are until it is acknowledged.
  const std::shared_ptr<std::vector<std::byte>>& take() {
    while (slots_[next_].under_way) next_ = (next_ + 1) % slots_.size();
    Slot& slot = slots_[next_];
    slot.under_way = true;
    // The slot is found by the remainder.
    slot.sequence = ++turns_ * slots_.size() + next_;
    std::memcpy(slot.bytes->data(), &slot.sequence, sizeof slot.sequence);
    next_ = (next_ + 1) % slots_.size();
    return slot.bytes;
  }

  [[nodiscard]] bool fits(const Load& load) const {
    return bytes_ == load.tensor_bytes && slots_.size() == load.in_flight + 1;
  }

  void acknowledge(const Ack& ack) {
    Slot& slot = slots_[ack.sequence % slots_.size()];
    if (!slot.under_way || slot.sequence != ack.sequence || slot.sum != ack.sum)
      throw std::runtime_error("a tensor arrived damaged, twice, or not at all");
    slot.under_way = false;
  }

 private:
  struct Slot {
    std::shared_ptr<std::vector<std::byte>> bytes;
    std::uint64_t sequence = 0, sum = 0;
    bool under_way = false;
  };
  std::size_t bytes_;
  std::vector<Slot> slots_;
  std::size_t next_ = 0;
  std::uint64_t turns_ = 0;
};

/// Keeps the tensors of the last load, so that making them is not measured again and again.
class Stock {
 public:
  Tensors& of(const Load& load) {
    if (!tensors_ || !tensors_->fits(load)) {
      tensors_.reset();
      tensors_.emplace(load.tensor_bytes, load.in_flight);
    }
    return *tensors_;
  }

 private:
  std::optional<Tensors> tensors_;
};

}  // namespace bench_link
