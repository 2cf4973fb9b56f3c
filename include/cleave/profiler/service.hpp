// The cloud's half of profiling: it times itself and sends what it found.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/provenance.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/model_store.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/profiler/host.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

namespace cleave::inline v0::profiler {

inline constexpr std::string_view profile_service = "profile";
inline constexpr std::string_view measure_method = "measure";
inline constexpr std::string_view machine_method = "machine";
inline constexpr std::string_view conditions_method = "conditions";

/// What the cloud's figures come from; unknown if it is of a version that does not tell. Errors:
/// those of exec::Remote::call(); corrupt.
CLEAVE_EXPORT core::Result<core::Provenance> machine_of(exec::Remote& cloud);

/// What went on beside the cloud's last measurement; unknown if it is of a version that does not
/// tell. Errors as above.
CLEAVE_EXPORT core::Result<table::Conditions> conditions_of(exec::Remote& cloud);

/// Thread-safe; measurements run one after the other, each on the calling thread. While one runs,
/// tails of requests compete with it: profile before serving.
class CLEAVE_EXPORT MeasureService {
 public:
  /// `models` and `arbiter` must outlive the service. Of `host`, name, board, source, power,
  /// made_on and load are used.
  MeasureService(const exec::ModelStore& models, device::Arbiter& arbiter, HostOptions host);

  /// Method "measure"; its request asks for at most max_passes and max_time, whatever it says.
  /// Errors: corrupt, not_found or mismatch (model, codec), and those of measure_host().
  [[nodiscard]] core::Result<std::vector<std::byte>> measure(std::span<const std::byte> message);

  /// Method "machine": HostOptions::made_on.
  [[nodiscard]] std::vector<std::byte> machine() const;
  /// Method "conditions": of the last measurement that ended well.
  [[nodiscard]] std::vector<std::byte> conditions() const;

  static constexpr std::uint32_t max_passes = 1000;
  static constexpr core::Seconds max_time = core::Seconds(30);  ///< per setting

 private:
  const exec::ModelStore& models_;
  device::Arbiter& arbiter_;
  HostOptions host_;
  std::mutex mutex_;               ///< one measurement at a time
  mutable std::mutex last_mutex_;  ///< of last_
  table::Conditions last_;
};

}  // namespace cleave::inline v0::profiler
