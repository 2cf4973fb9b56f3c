// The time between requests, before whatever is measured as a request finds a host.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/device/host.hpp>

#include <functional>
#include <span>

namespace cleave::inline v0::profiler {

// CPU time of this process, all of its threads.
core::Seconds process_cpu_time();

struct RestOptions {
  core::Seconds gap;                        // as HostOptions::idle_gap; 0: no rest
  std::function<void(core::Seconds)> idle;  // std::this_thread::sleep_for if empty
  device::SliceOf slice;                    // as HostOptions::slice; may be empty
  std::function<core::Seconds()> cpu_time;  // process_cpu_time() if empty
  const core::Clock* clock = nullptr;       // a SteadyClock if null
};

class Rest {
 public:
  explicit Rest(RestOptions options);

  // Waits for one to two gaps, by `fraction` in [0, 1). Under a quota, until the CPU time that was
  // used since the last rest is paid back as well, and then for that fraction of a period: a
  // request on a host that is not overloaded finds an unspent quota at any moment of the period.
  void wait(double fraction, std::span<const core::LevelIndex> levels);

 private:
  RestOptions options_;
  core::SteadyClock steady_;
  const core::Clock& clock_;
  core::Seconds since_, cpu_since_;
};

}  // namespace cleave::inline v0::profiler
