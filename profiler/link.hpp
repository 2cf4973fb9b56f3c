// Round trip and bandwidth of the link to the cloud, measured with requests of the link service.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/core/result.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/table/profile.hpp>

#include <functional>
#include <stop_token>

namespace cleave::inline v0::profiler {

struct LinkOptions {
  core::Bytes largest;  // the largest message worth knowing
  int round_trips = 20;
  int repeats = 5;                                      // per size
  core::Seconds long_enough = core::milliseconds(100);  // of the last message
  std::function<void(double)> progress;
  std::stop_token stop;
};

// A request without a body and back, the cloud's own time taken off.
core::Result<core::Seconds> exchange(exec::Remote& cloud, const core::Clock& clock);

// overhead is left 0.
core::Result<table::LinkProfile> measure_link(exec::Remote& cloud, const core::Clock& clock,
                                              const LinkOptions& options);

}  // namespace cleave::inline v0::profiler
