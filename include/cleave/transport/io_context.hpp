// The thread that moves bytes; channels and servers may share one.
#pragma once

#include <cleave/core/export.hpp>

#include <memory>
#include <string>

namespace cleave::inline v0::transport {

/// Owns one thread, which runs until the last owner goes. Everything of a connection happens on it,
/// callbacks included: they must not block. Thread-safe.
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
