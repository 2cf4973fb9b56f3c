// Looks at how loaded and hot the machine is while something is measured.
#pragma once

#include "profiler/host_samples.hpp"

#include <cleave/core/clock.hpp>

namespace cleave::inline v0::profiler {

class Watch {
 public:
  Watch(const HostOptions& options, const core::Clock& clock);

  // Waits until the machine is no hotter than HostOptions::cool_below, for at most
  // HostOptions::longest_wait. Errc::cancelled.
  core::Result<void> cool_down(Surroundings& seen);
  // Around a stretch: end() adds what happened since begin().
  void begin();
  void end(Surroundings& seen);

 private:
  [[nodiscard]] double cpu_time() const;

  const HostOptions& options_;
  const core::Clock& clock_;
  core::Seconds start_;
  double cpu_ = 0;
};

// As a profile keeps it.
table::Conditions conditions_of(const Surroundings& seen, double took);

}  // namespace cleave::inline v0::profiler
