// A log that tests read.
#pragma once

#include <cleave/core/sinks.hpp>

#include <mutex>
#include <string>

namespace cleave::tests {

class KeptLog final : public core::LogSink {
 public:
  void log(core::Severity, std::string_view, std::string_view message) override {
    const std::lock_guard lock(mutex_);
    text_ += std::string(message) + "\n";
  }
  [[nodiscard]] std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

}  // namespace cleave::tests
