// Memory of bodies that are done with, for bodies to come: fresh memory costs a page fault for
// every 4 KiB of a tensor, which is more time than the tensor takes over loopback.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <list>
#include <mutex>
#include <vector>

namespace cleave::inline v0::transport {

// Thread-safe.
class BodyPool {
 public:
  using Body = std::vector<std::byte>;
  static constexpr std::size_t most_kept = std::size_t{64} << 20;   // bytes in all
  static constexpr std::size_t least_kept = std::size_t{64} << 10;  // the allocator keeps smaller

  // With a capacity of at least `bytes`, and at most an eighth more than that if it was used
  // before. What it holds has no meaning.
  Body take(std::size_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      for (auto it = kept_.begin(); it != kept_.end(); ++it) {
        if (it->body.capacity() < bytes || it->body.capacity() - bytes > bytes / 8)
          continue;
        Body body = std::move(it->body);
        kept_bytes_ -= body.capacity();
        kept_.erase(it);
        return body;
      }
    }
    Body body;
    body.reserve(bytes);
    return body;
  }

  void put(Body body) {
    const std::size_t bytes = body.capacity();
    if (bytes < least_kept || bytes > most_kept)
      return;
    std::list<Kept> dropped;  // freed outside of the lock
    const std::lock_guard lock(mutex_);
    kept_.push_front({std::move(body), ages_});  // the latest is likeliest to be in a cache
    kept_bytes_ += bytes;
    while (kept_bytes_ > most_kept) drop_oldest(dropped);
  }

  // To be called now and then: lets go of what nobody took between two calls.
  void age() {
    std::list<Kept> dropped;
    const std::lock_guard lock(mutex_);
    while (!kept_.empty() && kept_.back().age < ages_) drop_oldest(dropped);
    ++ages_;
  }

 private:
  struct Kept {
    Body body;
    std::uint64_t age = 0;
  };
  void drop_oldest(std::list<Kept>& dropped) {
    kept_bytes_ -= kept_.back().body.capacity();
    dropped.splice(dropped.end(), kept_, std::prev(kept_.end()));
  }

  std::mutex mutex_;
  std::list<Kept> kept_;  // the latest first
  std::size_t kept_bytes_ = 0;
  std::uint64_t ages_ = 0;
};

}  // namespace cleave::inline v0::transport
