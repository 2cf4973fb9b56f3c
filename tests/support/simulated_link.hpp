// Requests over an emulated link in simulated time, as a client sees them: what feeds a
// LinkEstimator in tests and benchmarks.
#pragma once

#include "lib/transport/random.hpp"
#include "lib/transport/rate_of_arrival.hpp"

#include <cleave/transport/link_estimator.hpp>
#include <cleave/transport/link_model.hpp>

#include <algorithm>
#include <deque>
#include <random>

namespace cleave::test {

class SimulatedLink {
 public:
  struct Shape {
    core::BytesPerSecond up, down;
    core::Seconds delay;      // one way
    core::Seconds jitter;     // each way
    bool slow_start = false;  // every message of a connection that was idle begins with 10 segments
  };

  SimulatedLink(const Shape& shape, std::uint64_t seed)
      : shape_(shape),
        up_(shape.up, shape.delay, shape.jitter, seed * 2),
        down_(shape.down, shape.delay, shape.jitter, seed * 2 + 1),
        random_(seed) {}

  void set(const Shape& shape) {
    shape_ = shape;
    up_.set(shape.up, shape.delay, shape.jitter);
    down_.set(shape.down, shape.delay, shape.jitter);
  }

  [[nodiscard]] core::Seconds now() const { return now_; }
  void pause(core::Seconds time) { now_ += time; }

  // From the arrival of the first segment of the latest message to that of its last.
  [[nodiscard]] core::Seconds latest_arrival() const { return latest_arrival_; }

  // A request and its reply, whose results the estimator is given.
  void request(std::size_t bytes_up, std::size_t bytes_down, transport::LinkEstimator& estimator) {
    const core::Seconds start = now_;
    const core::Seconds upload = message(up_, bytes_up);
    // Two threads have to wake up there, and two here: some tens of microseconds.
    const core::Seconds wake_up(transport::exponential(random_, 50e-6) +
                                transport::exponential(random_, 50e-6));
    const core::Seconds handler(1e-3);
    now_ += handler + wake_up;
    const core::Seconds download = message(down_, bytes_down);
    if (upload > core::Seconds(0))
      estimator.add_upload(core::Bytes(static_cast<double>(bytes_up)), upload, now_);
    if (download > core::Seconds(0))
      estimator.add_download(core::Bytes(static_cast<double>(bytes_down)), download, now_);
    estimator.add_round_trip(now_ - start - upload - handler - download, now_);
  }

 private:
  // Moves time to the arrival of the last byte; gives how long the receiver saw it arrive.
  core::Seconds message(transport::LinkModel& way, std::size_t bytes) {
    constexpr std::size_t segment = 1448;
    const std::size_t whole = bytes + 64;  // a frame's header
    transport::RateOfArrival arrival;
    // In slow start each acknowledged segment lets two more leave.
    std::size_t window = shape_.slow_start ? 10 : whole;
    std::deque<core::Seconds> acknowledgements;
    core::Seconds time = now_, first = now_, last = now_;
    for (std::size_t sent = 0; sent < whole;) {
      if (acknowledgements.size() >= window) {
        time = std::max(time, acknowledgements.front());
        acknowledgements.pop_front();
        ++window;
        continue;
      }
      const std::size_t size = std::min(segment, whole - sent);
      last = way.send(size, time).arrives;
      if (sent == 0) {
        first = last;
        arrival.start(first);
      }
      arrival.add(size, last);
      sent += size;
      acknowledgements.push_back(last + shape_.delay);
      // Acknowledgements that have come meanwhile free the window.
      while (!acknowledgements.empty() && acknowledgements.front() <= time) {
        acknowledgements.pop_front();
        ++window;
      }
    }
    now_ = last;
    latest_arrival_ = last - first;
    return arrival.whole();
  }

  Shape shape_;
  transport::LinkModel up_, down_;
  core::Seconds now_{10}, latest_arrival_;
  std::mt19937_64 random_;
};

}  // namespace cleave::test
