// A clock for each of several policies that take turns on one machine.
#pragma once

#include <cleave/core/clock.hpp>

#include <atomic>

namespace cleave::cli {

/// Stands still while others have their turn, so that a budget of joules is of its own time.
class OwnTime final : public core::Clock {
 public:
  [[nodiscard]] core::Seconds now() const override {
    return steady_.now() - core::Seconds(others_.load());
  }
  /// Its turn begins, or ends; it has none at first.
  void begin() { others_ = others_ + (steady_.now() - ended_).count(); }
  void end() { ended_ = steady_.now(); }

 private:
  const core::SteadyClock steady_;
  core::Seconds ended_ = steady_.now();
  std::atomic<double> others_{0};
};

}  // namespace cleave::cli
