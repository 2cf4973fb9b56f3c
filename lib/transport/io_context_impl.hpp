#pragma once

#include "lib/transport/section.hpp"

#include <cleave/transport/io_context.hpp>

#include <future>
#include <thread>

namespace cleave::inline v0::transport {

struct IoContext::Impl {
  // What is made with it happens in the section.
  [[nodiscard]] asio::any_io_executor executor() { return SectionExecutor(place_); }
  // In a callback, or as good as in one.
  [[nodiscard]] bool on_thread() {
    return section().held() || std::this_thread::get_id() == thread_.get_id();
  }

  [[nodiscard]] Section& section() { return place_.section; }

  // Does it in the section and returns then: at once in a callback; else on the thread, after all
  // that was posted before. It must not throw.
  template <class F>
  void run(F work) {
    if (on_thread()) {
      work();
      return;
    }
    std::promise<void> done;
    asio::post(executor(), [&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }

 private:
  friend class IoContext;

  IoPlace place_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{place_.context.get_executor()};
  std::thread thread_;
};

/// The context given, or a new one.
std::shared_ptr<IoContext> or_own(const std::shared_ptr<IoContext>& given);

}  // namespace cleave::inline v0::transport
