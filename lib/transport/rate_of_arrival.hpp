// How long a body took to arrive, as seen by who receives it.
#pragma once

#include <cleave/core/units.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace cleave::inline v0::transport {

// What came with the first read was under way before its arrival could be seen, so its time is
// taken to be in proportion to the rest's: bytes / whole() is the link's rate. If half or more came
// at once there is too little to go by, and the time from the first byte on is all that is known.
class RateOfArrival {
 public:
  void start(core::Seconds now) {
    first_ = last_ = now;
    at_once_ = total_ = 0;
  }
  void add(std::size_t bytes, core::Seconds now) {
    total_ += bytes;
    if (now <= first_)
      at_once_ += bytes;
    last_ = std::max(last_, now);
  }
  [[nodiscard]] std::size_t bytes() const { return total_; }
  [[nodiscard]] core::Seconds since_start(core::Seconds now) const { return now - first_; }
  // Of what came after the first read; nothing if that is too little to go by.
  [[nodiscard]] std::optional<core::BytesPerSecond> rate() const {
    const core::Seconds seen = last_ - first_;
    if (total_ <= 2 * at_once_ || seen <= core::Seconds(0))
      return std::nullopt;
    return core::BytesPerSecond(static_cast<double>(total_ - at_once_) / seen.count());
  }
  [[nodiscard]] core::Seconds whole() const {
    const core::Seconds seen = last_ - first_;
    if (total_ <= 2 * at_once_)
      return seen;
    return seen * (static_cast<double>(total_) / static_cast<double>(total_ - at_once_));
  }

 private:
  core::Seconds first_, last_;
  std::size_t at_once_ = 0, total_ = 0;
};

}  // namespace cleave::inline v0::transport
