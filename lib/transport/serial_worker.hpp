// One thread that does what it is given, in order.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace cleave::inline v0::transport {

// Thread-safe. What is posted must not throw.
class SerialWorker {
 public:
  explicit SerialWorker(const std::string& name);
  // finish().
  ~SerialWorker();
  // Ignored after finish().
  void post(std::function<void()> work);
  // Does all that was posted, and joins the thread. Not from what was posted.
  void finish();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace cleave::inline v0::transport
