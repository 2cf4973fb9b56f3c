#include "lib/transport/worker_pool.hpp"

#include <pthread.h>

#include <algorithm>
#include <string>

namespace cleave::inline v0::transport {

WorkerPool::WorkerPool(int threads, std::size_t max_queued,
                       std::shared_ptr<const core::Clock> clock)
    : max_queued_(max_queued), clock_(std::move(clock)) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { work(); });
    pthread_setname_np(threads_.back().native_handle(),
                       ("cleave-work-" + std::to_string(i)).c_str());
  }
}

WorkerPool::~WorkerPool() {
  finish();
}

bool WorkerPool::submit(Job job) {
  {
    const std::lock_guard lock(mutex_);
    // A free worker takes it at once, so it is not what the queue's bound is about.
    const std::size_t idle = threads_.size() - std::min(threads_.size(), running_);
    if (finishing_ || queue_.size() >= max_queued_ + idle)
      return false;
    const std::uint8_t priority = job.priority;
    queue_.insert(Entry{priority, order_++, std::move(job)});
  }
  changed_.notify_one();
  return true;
}

std::optional<core::Seconds> WorkerPool::drop_stale() {
  std::vector<Job> stale;
  std::optional<core::Seconds> next;
  {
    const std::lock_guard lock(mutex_);
    const core::Seconds now = clock_->now();
    for (auto it = queue_.begin(); it != queue_.end();) {
      const Job& job = it->job;
      const bool expires = job.expires > core::Seconds(0);
      if ((expires && now >= job.expires) || (job.cancelled && *job.cancelled)) {
        stale.push_back(std::move(it->job));
        it = queue_.erase(it);
        continue;
      }
      if (expires && (!next || job.expires < *next))
        next = job.expires;
      ++it;
    }
    dropped_ += stale.size();
  }
  for (const Job& job : stale) job.drop();
  return next;
}

void WorkerPool::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_)
    if (thread.joinable())
      thread.join();
}

WorkerPool::State WorkerPool::state() const {
  const std::lock_guard lock(mutex_);
  State state;
  state.queued = queue_.size();
  state.running = running_;
  state.done = done_;
  state.dropped = dropped_;
  const std::size_t ahead = queue_.size() + running_;
  if (ahead >= threads_.size())
    state.expected_wait =
        core::Seconds(usual_seconds_ * static_cast<double>(ahead - threads_.size() + 1) /
                      static_cast<double>(threads_.size()));
  return state;
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finishing_ || !queue_.empty(); });
    if (queue_.empty())
      return;
    Job job = std::move(queue_.begin()->job);
    queue_.erase(queue_.begin());
    const core::Seconds start = clock_->now();
    const bool late = job.expires > core::Seconds(0) && start >= job.expires;
    if (late || (job.cancelled && *job.cancelled)) {
      ++dropped_;
      lock.unlock();
      job.drop();
      job = {};
      lock.lock();
      continue;
    }
    ++running_;
    lock.unlock();
    job.run(start - job.arrived);
    job = {};  // what it holds goes before the next wait
    const double took = (clock_->now() - start).count();
    lock.lock();
    --running_;
    // Over about the last eight.
    usual_seconds_ = done_ == 0 ? took : usual_seconds_ + (took - usual_seconds_) / 8;
    ++done_;
  }
}

}  // namespace cleave::inline v0::transport
