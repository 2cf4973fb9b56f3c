// How long a body took to arrive, as seen by who receives it.
#pragma once

#include <cleave/core/units.hpp>

#include <algorithm>
#include <cstddef>

namespace cleave::inline v0::transport {

// What came with the first read was under way before its arrival could be seen, so its time is
// taken to be in proportion to the rest's: bytes / whole() is the link's rate. If half or more came
// at once there is too little to go by, and the time from the first byte on is all that is known.
class RateOfArrival {
 public:
  // The first bytes of the frame that begins the body were read at `now`, `at_once` of them.
  void start(core::Seconds now, std::size_t at_once) {
    first_ = last_ = now;
    at_once_ = at_once;
  }
  void add(std::size_t bytes, core::Seconds now) {
    total_ += bytes;
    last_ = std::max(last_, now);
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
