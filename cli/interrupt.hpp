// Ctrl-C and SIGTERM as something that loops and waits can ask about.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

namespace cleave::cli {

/// While it lives, SIGINT and SIGTERM request a stop instead of ending the process, so that
/// destructors restore every setting; a second signal ends the process at once (the journal of
/// cleave::device then undoes its settings at the next start). One at a time per process; construct
/// it before any other thread is started, since it blocks the signals in all of them.
class Interrupt {
 public:
  Interrupt() : Interrupt(nullptr) {}
  /// SIGHUP calls this, on a thread of its own, instead of requesting a stop.
  explicit Interrupt(std::function<void()> on_hangup);
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  [[nodiscard]] std::stop_token token() const;
  [[nodiscard]] bool requested() const { return token().stop_requested(); }
  /// Blocks until a signal comes.
  void wait() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::cli
