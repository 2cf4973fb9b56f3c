// A share of the CPU through a control group: stands for a board's frequency levels on a machine
// that cannot change its own.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct CpuShareOptions {
  std::string name = "cpu_share";  ///< the knob's
  core::HostIndex host = core::edge_host;
  /// value = share of one CPU per thread at work, in (0, 1]; ascending. Board::share_levels() makes
  /// them.
  std::vector<core::Level> levels;
  /// The group's quota is the share times this: a board whose every core runs at half speed gives
  /// two threads two half cores.
  int parallelism = 1;
  /// The bandwidth controller's period. Short periods stall a request less; the kernel wants a
  /// quota of at least 1 ms, so a small share gets the shortest period (in whole milliseconds) with
  /// that, at most 1 s. 5 ms gave the least jitter of 5..100 ms.
  core::Seconds period = core::milliseconds(5);
  /// The process whose threads are limited: its id, 0 for this one. Its children, made later, too.
  pid_t process = 0;
  /// If not empty only these threads of that process (cgroup v1, or threaded v2).
  std::vector<pid_t> threads;
  std::filesystem::path state_dir;  ///< for the journal; empty: default_state_dir()
};

/// What the kernel is told for a share.
struct Quota {
  long quota_us = 0, period_us = 0;
  [[nodiscard]] double share() const { return double(quota_us) / double(period_us); }
};
/// The shortest period >= `period` in whole milliseconds with a quota of at least 1 ms; a share
/// below 0.001 gets 1 ms in a second. Rounding moves the share by less than 0.1 %.
CLEAVE_EXPORT Quota quota_for(double share, core::Seconds period);

/// CFS bandwidth control (Linux, Documentation/scheduler/sched-bwc.rst): version 1
/// (cpu.cfs_quota_us, cpu.cfs_period_us) and version 2 (cpu.max). The first apply() makes a group
/// cleave-<pid>-<n>, sets the quota and moves the process in; restore() moves everything in it back
/// and removes it. Whether a network gets 1/share times slower depends on its length: work shorter
/// than one quota runs unthrottled.
///
/// Thread-safe.
class CLEAVE_EXPORT CpuShareGovernor final : public Governor {
 public:
  /// Errors: invalid_argument (levels), unsupported (no cpu controller here), permission_denied
  /// (groups cannot be made; the hint says how to delegate), in_use.
  static core::Result<std::unique_ptr<CpuShareGovernor>> open(CpuShareOptions options,
                                                              Machine machine = {});
  ~CpuShareGovernor() override;

  [[nodiscard]] const core::Knob& knob() const override;
  [[nodiscard]] core::Result<void> apply(core::LevelIndex level) override;
  [[nodiscard]] core::Result<std::optional<core::LevelIndex>> current() override;
  [[nodiscard]] core::Result<void> restore() override;

  /// Changes CpuShareOptions::parallelism, and the quota at once if a level is applied.
  [[nodiscard]] core::Result<void> set_parallelism(int threads);
  /// The group in use; empty before apply() and after restore().
  [[nodiscard]] std::filesystem::path group() const;
  /// 1 or 2.
  [[nodiscard]] int cgroup_version() const;

 private:
  class Impl;
  explicit CpuShareGovernor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::device
