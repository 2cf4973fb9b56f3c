#pragma once

#include "lib/transport/asio.hpp"

#include <cleave/transport/io_context.hpp>

#include <thread>

namespace cleave::inline v0::transport {

struct IoContext::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::thread thread;

  [[nodiscard]] bool on_thread() const { return std::this_thread::get_id() == thread.get_id(); }
};

/// The context given, or a new one.
std::shared_ptr<IoContext> or_own(const std::shared_ptr<IoContext>& given);

}  // namespace cleave::inline v0::transport
