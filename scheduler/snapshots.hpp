// One writer hands finished values to readers that never wait for it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cleave::inline v0::scheduler {

/// A few slots of T, of which one is current. Readers count themselves into the current slot; the
/// writer fills a slot that is neither current nor read, and makes it current. So a value is never
/// changed while somebody reads it, nothing is ever allocated or freed after construction, and a
/// reader retries only if a value was published between its two loads (lock-free). An
/// std::atomic<std::shared_ptr> would do the same with a lock bit in libstdc++, and free the old
/// value on whichever request drops the last reference.
///
/// Why it is safe: a reader adds itself (A), then checks that the slot is still current (B). The
/// writer saw the slot unread (W) while another was current. If W is before A in the single order
/// of these sequentially consistent operations, B is after W and finds another slot current, unless
/// the writer has published in between, which makes the slot's contents visible.
template <class T>
class Snapshots {
  struct Slot;

 public:
  static constexpr std::size_t slot_count = 4;

  /// `make()` gives the value of each slot before anything is published.
  template <class Make>
  explicit Snapshots(const Make& make) {
    for (Slot& slot : slots_) slot.value = make();
  }

  /// Keeps the value it was made from unchanged for as long as it lives.
  class Reader {
   public:
    explicit Reader(const Snapshots& from) : slot_(from.enter()) {}
    ~Reader() { slot_.readers.fetch_sub(1); }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    const T& operator*() const { return slot_.value; }
    const T* operator->() const { return &slot_.value; }

   private:
    const Slot& slot_;
  };
  [[nodiscard]] Reader read() const { return Reader(*this); }

  /// For the writer (one at a time): a slot to fill, or null while stragglers read all the others.
  [[nodiscard]] T* writable() {
    const std::size_t current = current_.load();
    for (std::size_t i = 0; i < slot_count; ++i)
      if (i != current && slots_[i].readers.load() == 0)
        return &slots_[i].value;
    return nullptr;
  }
  /// Makes what writable() gave current.
  void publish(const T* filled) {
    for (std::size_t i = 0; i < slot_count; ++i)
      if (&slots_[i].value == filled)
        current_.store(i);
  }
  /// What is current, for the writer.
  [[nodiscard]] const T& current() const { return slots_[current_.load()].value; }

 private:
  // A cache line each, so that counting readers does not slow those of another slot.
  struct alignas(64) Slot {
    mutable std::atomic<std::uint32_t> readers{0};
    T value;
  };

  const Slot& enter() const {
    for (;;) {
      const std::size_t index = current_.load();
      const Slot& slot = slots_[index];
      slot.readers.fetch_add(1);
      if (current_.load() == index)
        return slot;
      slot.readers.fetch_sub(1);
    }
  }

  std::array<Slot, slot_count> slots_;
  std::atomic<std::size_t> current_{0};
};

}  // namespace cleave::inline v0::scheduler
