// CPU frequency through the kernel's cpufreq policies.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>
#include <cleave/device/governor.hpp>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::device {

struct CpufreqOptions {
  core::HostIndex host = core::edge_host;
  /// Levels made of a policy that tells only its range (intel_pstate, amd_pstate): this many,
  /// evenly spaced, at least 2.
  int steps = 5;
  std::filesystem::path state_dir;  ///< for the journal; empty: default_state_dir()
};

/// One policy (a set of CPUs that share a clock), Linux Documentation/admin-guide/pm/cpufreq.rst.
/// With the userspace governor available the frequency is set through scaling_setspeed; otherwise
/// scaling_min_freq and scaling_max_freq are both put on it (in the order that keeps min <= max),
/// which is verified in those two files: a busy CPU may still be slowed below it by heat. restore()
/// puts back governor, minimum and maximum. Not thread-safe.
class CLEAVE_EXPORT CpufreqGovernor final : public ForwardingGovernor {
 public:
  /// `policy`: "policy0", ... The knob is "cpu_frequency" for the first policy of a machine and
  /// "cpu_frequency.policyN" for the others, in Hz. Errors: not_found, unsupported (no levels),
  /// permission_denied, in_use (another process holds the policy).
  static core::Result<std::unique_ptr<CpufreqGovernor>> open(const std::string& policy,
                                                             CpufreqOptions options = {},
                                                             Machine machine = {});
  /// "userspace" or "clamp".
  [[nodiscard]] const std::string& method() const { return method_; }

 private:
  CpufreqGovernor(std::unique_ptr<Governor> inner, std::string method)
      : ForwardingGovernor(std::move(inner)), method_(std::move(method)) {}
  std::string method_;
};

/// The policies of this machine: "policy0", ...; empty without cpufreq.
CLEAVE_EXPORT std::vector<std::string> cpufreq_policies(const Machine& machine = {});

}  // namespace cleave::inline v0::device
