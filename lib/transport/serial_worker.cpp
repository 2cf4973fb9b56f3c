#include "lib/transport/serial_worker.hpp"

#include <pthread.h>

namespace cleave::inline v0::transport {

SerialWorker::SerialWorker(const std::string& name) : thread_([this] { run(); }) {
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

SerialWorker::~SerialWorker() {
  finish();
}

void SerialWorker::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    if (finishing_)
      return;
    queue_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void SerialWorker::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable())
    thread_.join();
}

void SerialWorker::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finishing_ || !queue_.empty(); });
    if (queue_.empty())
      return;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds goes before the next wait
    lock.lock();
  }
}

}  // namespace cleave::inline v0::transport
