// A few named threads that run what is posted, in order.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cleave::inline v0::runtime {

// Thread-safe once started. The destructor runs what is still queued, then ends the threads.
class WorkerPool {
 public:
  WorkerPool() = default;
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // `name`: up to 12 characters, so that a number fits behind it (the kernel allows 15).
  void start(int count, const std::string& name, std::size_t max_queued) {
    max_queued_ = max_queued;
    for (int i = 0; i < count; ++i) {
      threads_.emplace_back([this] { work(); });
      pthread_setname_np(threads_.back().native_handle(), (name + "-" + std::to_string(i)).c_str());
    }
  }

  ~WorkerPool() {
    {
      const std::lock_guard lock(mutex_);
      closing_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // False, and the task is dropped, if as many as may wait do so already.
  [[nodiscard]] bool post(std::function<void()> task) {
    {
      const std::lock_guard lock(mutex_);
      if (tasks_.size() >= max_queued_)
        return false;
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
    return true;
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return closing_ || !tasks_.empty(); });
      if (tasks_.empty())
        return;
      const std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::size_t max_queued_ = 0;
  std::vector<std::thread> threads_;
  bool closing_ = false;
};

}  // namespace cleave::inline v0::runtime
