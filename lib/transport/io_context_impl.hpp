#pragma once

#include "lib/transport/section.hpp"

#include <cleave/transport/io_context.hpp>

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

 private:
  friend class IoContext;

  IoPlace place_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{place_.context.get_executor()};
  std::thread thread_;
};

/// The context given, or a new one.
std::shared_ptr<IoContext> or_own(const std::shared_ptr<IoContext>& given);

}  // namespace cleave::inline v0::transport
