// What this machine has and lacks for split inference, and what to do about it.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/device/files.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::device {

enum class Status : std::uint8_t { ok, warning, missing };
/// "ok", "warning", "missing"
CLEAVE_EXPORT std::string_view to_string(Status status);

struct Finding {
  std::string topic;  ///< "cpu", "load", "cpufreq", "devfreq", "rapl", "hwmon", "battery", ...
  Status status = Status::ok;
  std::string what;        ///< one line
  std::string what_to_do;  ///< one line; empty if there is nothing to do
};
using Diagnosis = std::vector<Finding>;

/// Looks, and changes nothing (cgroups: permissions are looked at, no group is made). One finding
/// per topic at least, in a fixed order; never fails: what cannot be read is a finding.
CLEAVE_EXPORT Diagnosis diagnose(const Machine& machine = {});

/// [{"topic":..., "status":..., "what":..., "what_to_do":...}, ...]
CLEAVE_EXPORT std::string to_json(const Diagnosis& diagnosis);

}  // namespace cleave::inline v0::device
