// On which CPUs this process may run: the big or the little cores of a processor that has both.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

/// CPUs by number, ascending.
struct CpuSet {
  std::string label;  ///< "all", "big", "little", ...
  std::vector<int> cpus;
};

/// "all" and the kinds of CPU that this machine has, the fastest first; empty if they are all
/// alike. By devices/system/cpu/cpuN/cpu_capacity (Linux Documentation/ABI/testing/
/// sysfs-devices-system-cpu), which processors of several kinds on ARM and RISC-V have: "big" and
/// "little", or "capacity 1024" and so on for more than two; by devices/cpu_core and
/// devices/cpu_atom (Documentation/admin-guide/perf/intel-hybrid.rst) "performance" and
/// "efficient".
CLEAVE_EXPORT std::vector<CpuSet> kinds_of_cpu(const Machine& machine = {});

struct AffinityOptions {
  core::HostIndex host = core::edge_host;
  std::vector<CpuSet> sets;  ///< the levels; empty: kinds_of_cpu()
};

/// What the governor asks of the kernel; a test gives its own. Empty ones are sched_getaffinity(2),
/// sched_setaffinity(2) and /proc/self/task.
struct AffinityCalls {
  std::function<core::Result<std::vector<int>>(pid_t)> get;
  std::function<core::Result<void>(pid_t, const std::vector<int>&)> set;
  std::function<core::Result<std::vector<pid_t>>()> threads;
};

/// The knob "cpus", words without an order: every thread of this process is kept to a set of CPUs.
/// Threads that start later have the set of the one that starts them. The kernel takes away CPUs
/// that the process's cpuset does not have, which is found by reading back (Errc::refused).
/// restore() gives each thread what it had, and later ones what the process's first thread had.
/// Nothing outlives the process, so there is no journal. Not thread-safe.
class CLEAVE_EXPORT AffinityGovernor final : public ForwardingGovernor {
 public:
  /// Errors: unsupported (all CPUs are alike), invalid_argument (a set is empty).
  /// current() is that of the process's first thread.
  static core::Result<std::unique_ptr<AffinityGovernor>> open(AffinityOptions options = {},
                                                              Machine machine = {},
                                                              AffinityCalls calls = {});

 private:
  explicit AffinityGovernor(std::unique_ptr<Governor> inner)
      : ForwardingGovernor(std::move(inner)) {}
};

}  // namespace cleave::inline v0::device
