// Whose joules a meter counts while requests overlap: SharedEdge has the rule.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/meter.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace cleave::inline v0::runtime {

/// Thread-safe.
class EnergySplit {
 public:
  EnergySplit(std::shared_ptr<device::Meter> meter, core::LogSink& log)
      : meter_(std::move(meter)), log_(log) {}

  /// One request, from its beginning to end(), or to the end of this.
  class Share {
   public:
    explicit Share(EnergySplit& split, bool computes) : split_(split), id_(split.begin(computes)) {}
    ~Share() { (void)end(); }
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    void computes(bool now) { split_.computes(id_, now); }
    /// What it was given, once. Nothing if the meter could not be read meanwhile, or if that is
    /// less than the meter can resolve.
    std::optional<core::Energy> end() {
      return std::exchange(ended_, true) ? std::nullopt : split_.end(id_);
    }

   private:
    EnergySplit& split_;
    const std::uint64_t id_;
    bool ended_ = false;
  };

 private:
  struct One {
    bool computes = false;
    bool known = true;  // all that was counted meanwhile was read
    core::Joules joules;
  };

  std::uint64_t begin(bool computes);
  void computes(std::uint64_t id, bool now);
  std::optional<core::Energy> end(std::uint64_t id);
  // Reads the meter and gives what it counted since the last time to those under way.
  void account();

  const std::shared_ptr<device::Meter> meter_;
  core::LogSink& log_;
  std::mutex mutex_;
  std::map<std::uint64_t, One> under_way_;
  std::uint64_t next_ = 0;
  std::optional<device::EnergyReading> last_;
};

}  // namespace cleave::inline v0::runtime
