// A bounded queue of work by priority, and the threads that do it.
#pragma once

#include <cleave/core/clock.hpp>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace cleave::inline v0::transport {

struct Job {
  std::uint8_t priority = 1;  // larger first
  core::Seconds arrived;      // on the pool's clock
  core::Seconds expires;      // 0: never
  std::shared_ptr<const std::atomic<bool>> cancelled;
  std::function<void(core::Seconds queued)> run;
  std::function<void()> drop;  // instead of run, when the time has passed or it was cancelled
};

// Thread-safe. Jobs must not throw.
class WorkerPool {
 public:
  WorkerPool(int threads, std::size_t max_queued, std::shared_ptr<const core::Clock> clock);
  // finish().
  ~WorkerPool();

  // False if the queue is full, or the pool finishing; then nothing of the job is called.
  [[nodiscard]] bool submit(Job job);
  // Drops what waits and is cancelled or whose time has passed. The earliest time at which one of
  // the others' will have.
  std::optional<core::Seconds> drop_stale();
  // Lets all that was submitted finish, and joins the threads. Not from a job.
  void finish();

  struct State {
    std::size_t queued = 0, running = 0;
    core::Seconds expected_wait;
    std::uint64_t done = 0, dropped = 0;
  };
  [[nodiscard]] State state() const;

 private:
  struct Entry {
    std::uint8_t priority;
    std::uint64_t order;
    mutable Job job;
    bool operator<(const Entry& other) const {
      return priority != other.priority ? priority > other.priority : order < other.order;
    }
  };
  void work();

  const std::size_t max_queued_;
  const std::shared_ptr<const core::Clock> clock_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::set<Entry> queue_;
  std::uint64_t order_ = 0, done_ = 0, dropped_ = 0;
  std::size_t running_ = 0;
  double usual_seconds_ = 0;  // of a job, lately
  bool finishing_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cleave::inline v0::transport
