// The thread that moves bytes; channels and servers may share one.
#pragma once

#include <cleave/core/export.hpp>

#include <memory>
#include <string>

namespace cleave::inline v0::transport {

/// Owns one thread, which runs until the last owner goes. What comes over a connection is read on
/// it, and all callbacks run there: they must not block. Small messages are written by the thread
/// that has them, where nobody else is at work on the connection. Thread-safe.
class CLEAVE_EXPORT IoContext {
 public:
  /// `name` is the thread's, at most 15 bytes. Throws std::system_error if no thread can be made.
  explicit IoContext(const std::string& name = "cleave-io");
  /// Drops what is still to be done and joins the thread.
  ~IoContext();
  IoContext(const IoContext&) = delete;
  IoContext& operator=(const IoContext&) = delete;

  /// Whether the caller is a callback.
  [[nodiscard]] bool on_thread() const;

  struct Impl;
  /// For the library's own use.
  [[nodiscard]] const std::shared_ptr<Impl>& impl() const { return impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::transport
