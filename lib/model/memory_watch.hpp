// How much memory a thread allocates for tensors.
#pragma once

#include <cleave/core/export.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace cleave::inline v0::model {

/// Counts, while it lives, what the thread that made it takes and gives back: from libtorch's
/// allocators, of whatever device, and from buffer pools. One at a time per thread.
class CLEAVE_EXPORT MemoryWatch {
 public:
  MemoryWatch();
  ~MemoryWatch();
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  /// From now on peak() tells the most from now on.
  void restart() { peak_ = used_; }
  /// The most bytes in use at one time, of those taken since the watch began.
  [[nodiscard]] std::size_t peak() const { return static_cast<std::size_t>(peak_ > 0 ? peak_ : 0); }

  /// Taken, or if negative given back, by the calling thread, whether it is watched or not.
  static void note(std::int64_t bytes);

 private:
  class Reporter;

  std::int64_t used_ = 0, peak_ = 0;
  std::shared_ptr<Reporter> reporter_;
};

}  // namespace cleave::inline v0::model
