// What several clients on one device share: its time, its knobs' state, its meter, its energy.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/meter.hpp>
#include <cleave/exec/turns.hpp>
#include <cleave/scheduler/energy_budget.hpp>
#include <cleave/scheduler/streams.hpp>

#include <memory>

namespace cleave::inline v0::runtime {

class EnergySplit;

struct SharedEdgeOptions {
  /// Requests of all clients that may compute here at once; 0: any number.
  int computing = 1;
  std::shared_ptr<device::Meter> meter = {};             ///< see EdgeOptions::meter; may be null
  std::shared_ptr<scheduler::EnergyBudget> budget = {};  ///< of all clients together; may be null
  core::LogSink* log = &core::null_log();                ///< must outlive the object
};

/// Given to each EdgeClient of the device (EdgeOptions::edge). Each is a stream of
/// scheduler::Streams, which has the rules of who goes first and who makes room. Their clocks must
/// be the same, and so must the knobs' arbiter.
///
/// A meter counts the whole device. While requests overlap, what it counts from one event to the
/// next (a request begins or ends, or begins or ceases to compute here) goes to those that compute
/// here, in equal parts; while none does, to those that wait for link or cloud, in equal parts.
/// Those that wait for their turn pay nothing, and what is counted while there is no request is
/// nobody's. So the requests' joules add up to the meter's. Thread-safe.
class CLEAVE_EXPORT SharedEdge {
 public:
  explicit SharedEdge(SharedEdgeOptions options = {});
  ~SharedEdge();
  SharedEdge(const SharedEdge&) = delete;
  SharedEdge& operator=(const SharedEdge&) = delete;

  [[nodiscard]] scheduler::Streams& streams() { return streams_; }
  [[nodiscard]] const std::shared_ptr<exec::Turns>& turns() const { return turns_; }
  /// Null without a meter.
  [[nodiscard]] EnergySplit* metered() const { return metered_.get(); }

 private:
  scheduler::Streams streams_;
  std::shared_ptr<exec::Turns> turns_;
  std::unique_ptr<EnergySplit> metered_;
};

}  // namespace cleave::inline v0::runtime
