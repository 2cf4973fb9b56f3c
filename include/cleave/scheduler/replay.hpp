// What scheduling policies would have done with runs that were observed.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/scheduler/energy_budget.hpp>
#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/observations.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/requests.hpp>
#include <cleave/table/workload.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::scheduler {

struct ReplayOptions {
  std::uint64_t seed = 1;
  PolicyOptions policy = {};
  /// Whose energy the observations count, and where it comes from: they cannot tell.
  core::Boundary boundary = core::Boundary::edge;
  core::Origin origin = core::Origin::measured;
  /// Requests wait for one another: the device runs one at a time, in the order of their arrivals.
  /// What a request waits is part of its latency, and gone from its deadline when it is decided.
  bool queueing = false;
  /// What policies that look at a budget (cleave) may spend of the observed energy, as of the
  /// time of the first arrival. Whoever finds it spent refuses the request, which then is missed.
  std::optional<EnergyBudgetOptions> budget = {};
};

/// Replays the requests, in the order of their arrivals, once for each policy.
///
/// For each request one number u, uniform in [0, 1), is drawn, the same for all policies. A policy
/// picks a configuration, and the request takes what the run of rank floor(u n) took among the
/// configuration's n runs sorted by latency (then by energy). Unless ReplayOptions::queueing says
/// otherwise each request runs alone: arrivals order the requests and nothing more. A policy of
/// make_policy() picks rows of the table, refuses for want of energy only (OnMiss::fastest), and is
/// told with observe() what the run took, in time and in joules; of joules of origin modelled it
/// learns nothing.
///
/// Policies: the names of make_policy(); "fixed:<knob>=<value>,...", the one configuration that
/// this describes (knobs left out may have one value only among those that fit); "oracle", which
/// knows every configuration's means: the least mean energy among those whose mean latency meets
/// the deadline and whose mean accuracy reaches the floor, else the fastest that reaches the floor.
///
/// A log a policy, in that order. RequestOutcome::row is an index into
/// Observations::configurations; RequestOutcome::predicted is the expected latency, for the oracle
/// and fixed policies the mean.
///
/// Errc::mismatch: the table's knobs or a row of it are not among the observations;
/// Errc::not_found: no such policy, knob, value or configuration; Errc::invalid_argument: options
/// out of range, no requests or policies, queueing or a budget where all requests arrive at once, a
/// fixed policy that fits several configurations, a floor that the table does not reach.
/// Thread-safe.
CLEAVE_EXPORT core::Result<std::vector<table::RunLog>> replay(
    const table::Observations& observations, std::shared_ptr<const table::ParetoTable> table,
    const std::vector<table::TimedRequest>& requests, std::span<const std::string> policies,
    const ReplayOptions& options = {});

/// How many different configurations a log of replay() ran.
CLEAVE_EXPORT std::size_t distinct_configurations(const table::RunLog& log);

}  // namespace cleave::inline v0::scheduler
