// Several streams of requests (applications, models) that share one edge device.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/scheduler/energy_budget.hpp>
#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>

namespace cleave::inline v0::scheduler {

struct StreamOptions {
  std::string name = {};  ///< for people
  std::shared_ptr<const table::ParetoTable> table = {};
  std::string policy = "cleave";  ///< one of policy_names()
  PolicyOptions policy_options = {};
  /// That its requests usually have; streams of lower priority leave time for it. Infinity: they
  /// need not.
  core::Seconds deadline = core::Seconds(std::numeric_limits<double>::infinity());
  std::uint8_t priority = 1;  ///< larger is more urgent
};

struct StreamsOptions {
  /// Requests that compute on the edge at once; 0: any number, and then nobody waits.
  int computing = 1;
  std::shared_ptr<EnergyBudget> budget = {};  ///< of all streams together; may be null
};

/// Holds a policy for each stream, knows who computes on the edge and who waits for it, and tells
/// each decision: how long its head would wait, for how long it may keep the edge, which knobs are
/// set, what the energy budget leaves. It runs nothing and has no clock: who does tells it.
///
/// The rules:
///
/// - Order: waiting requests get the edge by priority, then by when they are due, then by age.
///   Nobody is interrupted.
/// - Waiting: a head waits for those that compute, as long as they were expected to, and for those
///   that wait before it, as long as they would be decided to take it. A row without a head passes
///   them all by.
/// - Making room: since nobody is interrupted, a request leaves out rows that would keep the edge
///   for longer than any stream of higher priority has to spare, which is its deadline less what
///   its fastest row needs now (LiveState::edge_limit). Among equals nobody makes room.
/// - Knobs: while a head computes, the knobs are what it was decided for. What overlaps (more than
///   one computing, a row without a head that encodes, the tail of a request whose cloud fails)
///   gets what device::Arbiter makes of it: by default the highest level asked for. The next
///   decision counts the cost of switching from what the last request to begin was decided for, or
///   what Ticket::applied() told since.
/// - Energy: what a decision expects the edge to take is set aside in the budget when the request
///   begins, and settled when it ends.
///
/// Thread-safe. decide() and start() take a lock for as long as a decision takes for each stream of
/// higher priority, and look at every request that waits. Times are of one monotonic clock.
class CLEAVE_EXPORT Streams {
 public:
  explicit Streams(StreamsOptions options = {});
  ~Streams();
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  using StreamId = std::uint32_t;

  /// Errors: those of make_policy(); Errc::mismatch: the edge's knobs are not those of the other
  /// streams' tables, which one device has; Errc::invalid_argument: no row of the table ever fits
  /// into the energy budget.
  [[nodiscard]] core::Result<StreamId> add(const StreamOptions& options);
  /// Valid as long as this object.
  [[nodiscard]] Policy& policy(StreamId stream);
  /// No more requests come of it: nobody makes room for them.
  void retire(StreamId stream);

  /// One request from its arrival to its end, which is that of this object if finish() does not
  /// come before. Used by one thread at a time. Must not outlive the Streams.
  class CLEAVE_EXPORT Ticket {
   public:
    Ticket(Ticket&& other) noexcept;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

    /// What would be decided now, and how long it would wait. Of `state` the link and the cloud's
    /// reachability and queue are used; the rest is filled in. Request::elapsed is counted.
    [[nodiscard]] Decision decide(const Request& request, const LiveState& state,
                                  core::Seconds now);
    /// decide(), and the request begins: with the edge to itself, or (`on_edge` false) beside
    /// others, for a row without a head. Its energy is set aside. With Decision::row == no_row it
    /// has ended.
    [[nodiscard]] Decision start(const Request& request, const LiveState& state, core::Seconds now,
                                 bool on_edge = true);
    /// What Policy::explain() says of the decision that decide() or start() gave for this request.
    [[nodiscard]] std::string explain(const Request& request, const LiveState& state,
                                      const Decision& decision, core::Seconds now);
    /// The edge is free of it; the request may still be elsewhere.
    void leave_edge(core::Seconds now);
    /// It computes on the edge again, for so long.
    void compute_again(core::Seconds expected, core::Seconds now);
    /// The edge's knobs are set to these levels now, and not to those of the row decided on.
    void applied(std::span<const core::LevelIndex> levels);
    /// The policy observes the outcome, the budget gets what was set aside less `spent`: the edge's
    /// joules. If they are not finite, what was set aside counts.
    void finish(const Outcome& outcome, core::Joules spent, core::Seconds now);

   private:
    friend class Streams;
    Ticket(Streams* streams, std::uint64_t id) : streams_(streams), id_(id) {}
    void drop();
    Streams* streams_ = nullptr;
    std::uint64_t id_ = 0;
  };

  /// A request that is to be done at `due` (infinity: whenever) waits for the edge from now on.
  [[nodiscard]] Ticket arrive(StreamId stream, core::Seconds due, core::Seconds now);
  /// Whether a head could begin now.
  [[nodiscard]] bool edge_free() const;
  /// Requests that wait for the edge, and that compute on it.
  [[nodiscard]] std::size_t waiting() const;
  [[nodiscard]] std::size_t computing() const;
  /// Whether this request is the first of those that wait.
  [[nodiscard]] bool is_next(const Ticket& ticket) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cleave::inline v0::scheduler
