#include "cli/interrupt.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace cleave::cli {

struct Interrupt::Impl {
  sigset_t signals{};
  sigset_t before{};
  std::stop_source stop;
  std::function<void()> on_hangup;
  std::atomic<bool> finished{false};
  std::thread waiter;
};

Interrupt::Interrupt(std::function<void()> on_hangup) : impl_(std::make_unique<Impl>()) {
  impl_->on_hangup = std::move(on_hangup);
  sigemptyset(&impl_->signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&impl_->signals, signal);
  // SIGUSR2 is how the destructor wakes the waiting thread.
  sigset_t blocked = impl_->signals;
  sigaddset(&blocked, SIGUSR2);
  pthread_sigmask(SIG_BLOCK, &blocked, &impl_->before);
  impl_->waiter = std::thread([impl = impl_.get()] {
    pthread_setname_np(pthread_self(), "cleave-signals");
    sigset_t awaited = impl->signals;
    sigaddset(&awaited, SIGUSR2);
    for (int signal = 0; !impl->finished.load();) {
      if (sigwait(&awaited, &signal) != 0 || signal == SIGUSR2)
        continue;
      if (signal == SIGHUP && impl->on_hangup)
        impl->on_hangup();
      else if (!impl->stop.request_stop())
        _exit(128 + signal);
    }
  });
}

Interrupt::~Interrupt() {
  impl_->finished.store(true);
  pthread_kill(impl_->waiter.native_handle(), SIGUSR2);
  impl_->waiter.join();
  pthread_sigmask(SIG_SETMASK, &impl_->before, nullptr);
}

std::stop_token Interrupt::token() const {
  return impl_->stop.get_token();
}

void Interrupt::wait() const {
  std::atomic<bool> stopped{false};
  const std::stop_callback wake(token(), [&] {
    stopped.store(true);
    stopped.notify_all();
  });
  stopped.wait(false);
}

}  // namespace cleave::cli
