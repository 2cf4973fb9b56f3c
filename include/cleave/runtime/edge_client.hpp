// What an application embeds: give it inputs and a deadline, get outputs.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/sinks.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/device/meter.hpp>
#include <cleave/exec/executor.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/scheduler/energy_budget.hpp>
#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstddef>
#include <cstdint>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::runtime {

class Cloud;
class SharedEdge;

/// When the edge begins with the tail of a request that waits for the cloud (Dean and Barroso, The
/// Tail at Scale, 2013: hedged requests). Whoever is done first answers; what the other did costs
/// energy.
enum class Hedge {
  /// At the last moment at which it can still make the deadline alone: a cloud that goes silent
  /// costs no deadline that the edge can still meet when it has sent what the cloud needs. Where
  /// deadlines are hardly longer than the edge needs, that is before any reply can have come;
  /// decisions count what it costs (scheduler::PolicyOptions::hedged).
  last_moment,
  /// Then, but not before the reply is overdue: later than Decision::bound, of which the cloud's
  /// part counts once for each request under way. That are few (1 - confidence). A cloud that goes
  /// silent costs deadlines until the link is known to be
  /// down.
  overdue,
};

struct EdgeOptions {
  std::shared_ptr<const core::Executable> model;    ///< required
  std::shared_ptr<const table::ParetoTable> table;  ///< required; of the model's structure
  /// The knobs of the table's edge_knobs, in that order. Null: the knobs stay as they are, which
  /// is only right for a table whose knobs have one level each.
  std::shared_ptr<device::Arbiter> knobs;
  /// A CloudLink, or a CloudGroup of several; null: everything runs on the edge.
  std::shared_ptr<Cloud> cloud;
  /// The edge's meter. Null: energies are modelled, by the table's watts over measured time. With a
  /// meter the edge's part of a request is measured, and the policy learns from it; of requests
  /// that overlap SharedEdge has the rule. One that uses less than the meter's resolution stays
  /// modelled.
  std::shared_ptr<device::Meter> meter;
  /// Joules that must last. Null: no limit. They are counted on the client's clock.
  std::shared_ptr<scheduler::EnergyBudget> budget;
  /// What this client shares with others on this device. Null: it has the device to itself. With it
  /// the meter, budget and number of computing requests are the shared one's, and those here must
  /// be left as they are.
  std::shared_ptr<SharedEdge> edge;
  /// Among the clients that share the edge: the name, how urgent this one's requests are, and the
  /// deadline that they usually have, which less urgent ones leave time for (scheduler::Streams).
  std::string stream = "edge";
  std::uint8_t stream_priority = 1;
  core::Seconds usual_deadline = core::Seconds(std::numeric_limits<double>::infinity());
  std::string policy = "cleave";            ///< one of scheduler::policy_names()
  scheduler::PolicyOptions policy_options;  ///< but PolicyOptions::hedged, which `hedge` tells
  Hedge hedge = Hedge::last_moment;
  /// Threads for submit(), and so how many of its requests may be in flight: three or four keep
  /// head, link and tail at work at once.
  int workers = 1;
  std::size_t max_queued = 1024;  ///< requests of submit() that may wait for a thread
  /// Requests that may compute on this host at once, heads and tails. The others wait, tails for
  /// less long than heads; a request that is in the cloud, or on its way, holds up nobody, and one
  /// that is decided for a row without a head does not wait. More than one share processors and
  /// knobs. 0: any number.
  int computing = 1;
  std::shared_ptr<const core::Clock> clock;  ///< a SteadyClock if null
  core::LogSink* log = &core::null_log();
  core::MetricsSink* metrics = &core::null_metrics();
};

struct Request {
  core::Values inputs;
  /// From the call; infinity: none.
  core::Seconds deadline = core::Seconds(std::numeric_limits<double>::infinity());
  double accuracy_floor = 0;  ///< 0..1
  std::uint8_t priority = 1;  ///< larger is more urgent, in the cloud's queue; not on the edge
  bool explain = false;       ///< fill Reply::explanation, which looks at every row of the table
};

struct Reply {
  core::Values outputs;
  scheduler::Decision decision;  ///< what was expected
  std::string explanation;       ///< scheduler::Policy::explain(), if Request::explain
  table::LatencyParts latency;   ///< what it took
  core::Seconds total;           ///< the request, from call to return
  table::EnergyParts energy;
  bool fell_back = false;  ///< decided for the cloud, finished on the edge
  /// What the edge computed for nothing: it had begun with the tail (EdgeOptions::hedge) when the
  /// cloud's reply came. Its energy is counted.
  core::Seconds hedged;
  std::optional<core::Error> cloud_error;  ///< why
  [[nodiscard]] bool met(core::Seconds deadline) const { return total <= deadline; }
};

/// Schedules and runs requests. No request is lost to the cloud: when the link breaks or the cloud
/// refuses, the request goes to another endpoint that is faster than this host, or is finished
/// here, at once; when the cloud is silent, the edge begins with the tail at the last moment at
/// which it can still make the deadline by itself, and whoever is done first answers.
///
/// infer() and submit() may be called from several threads. Requests that overlap work as a
/// pipeline: one computes here (EdgeOptions::computing) with the knobs set for it, while those
/// before it travel and wait for the cloud's queue; a request is decided on when its turn comes.
class CLEAVE_EXPORT EdgeClient {
 public:
  /// Errc::mismatch: the table or the cloud is of another model; invalid_argument: options, or a
  /// row whose head is none of this model; those of scheduler::make_policy. A cloud that is not
  /// there yet is no error: requests run on the edge.
  static core::Result<std::unique_ptr<EdgeClient>> open(EdgeOptions options);
  /// Waits for the requests under way. The knobs' arbiter restores them when its last owner goes.
  ~EdgeClient();
  EdgeClient(const EdgeClient&) = delete;
  EdgeClient& operator=(const EdgeClient&) = delete;

  /// One request, run on the calling thread (and libtorch's threads, whose number is set for the
  /// calling thread). Errors are the model's, the knobs', or Errc::refused where the policy prefers
  /// no answer to a late one; a failing cloud or link is none: the request then finishes here.
  [[nodiscard]] core::Result<Reply> infer(const Request& request);

  /// The same on one of the client's own threads; the deadline counts from this call. Requests are
  /// taken up in the order of the calls; of those that were, and wait for their turn, the one that
  /// is due first begins first.
  /// Errc::exhausted, at once, if EdgeOptions::max_queued requests wait already.
  [[nodiscard]] std::future<core::Result<Reply>> submit(Request request);

  /// What the policy has learnt, for restore() after a restart: see scheduler::Policy.
  [[nodiscard]] std::vector<std::byte> learnt() const;
  [[nodiscard]] core::Result<void> restore(std::span<const std::byte> learnt);

  [[nodiscard]] const table::ParetoTable& table() const;
  /// The link as it is believed to be now.
  [[nodiscard]] table::LinkState link() const;

 private:
  struct Impl;
  explicit EdgeClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::runtime
