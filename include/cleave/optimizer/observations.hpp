// From runs that were measured elsewhere to the Pareto table that the scheduler picks from.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/table/observations.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::optimizer {

struct ObservationOptions {
  Algorithm algorithm = Algorithm::nsga2;
  /// Configurations that may be looked at, as if each had to be measured: this many, or if 0 no
  /// more than this share of them (and at least one). Exhaustive search looks at all.
  std::uint64_t evaluations = 0;
  double budget_share = 0.1;
  std::size_t population = 40;  ///< at least 8; rounded up to a multiple of 4
  std::uint64_t seed = 1;
  bool seeded = true;    ///< see SearchOptions::seeded; off for comparison
  bool screened = true;  ///< see SearchOptions::screened; off for comparison

  /// Whose energy the observations count, and where the figures come from: they cannot tell.
  core::Boundary boundary = core::Boundary::edge;
  core::Origin origin = core::Origin::measured;
  /// Configurations whose mean accuracy is less are not feasible.
  double accuracy_floor = 0;
  double accuracy_step = 0.005;  ///< accuracies are compared in steps of this

  double margin = 0.05;         ///< see OptimizeOptions::margin
  std::size_t max_rows = 1000;  ///< at least 8

  std::function<void(const SearchProgress&)> progress = {};  ///< on the caller's thread
  std::stop_token stop = {};  ///< the table then holds the best found so far
};

struct ObservedTable {
  table::ParetoTable table;
  /// Of the front of all configurations that reach the floor, the share that the front of those
  /// looked at covers, in ln latency x ln energy of the mean runs, up to the longest latency and
  /// the greatest energy of any run.
  double hypervolume_share = 0;
  /// See extra_energy(), against the front of all configurations that reach the floor.
  double extra_energy = 0;
};

/// Searches the observed configurations, looking at few of them.
///
/// The table's knobs are the observations', as knobs of the edge, and its rows run all on the edge:
/// the whole latency is edge compute, and the energy that at a constant power. TableRow::latency
/// and energy are the means of the runs. Ingredients::spread is the relative standard deviation
/// with which one more run is to be expected around the mean of n: s sqrt(1 + 1/n), with s^2 the
/// variance of the n runs pooled with that of all runs looked at, which counts like four degrees of
/// freedom. Where nothing was measured twice, s is 5 %.
/// SearchSummary::hypervolume is as optimize() of a profile has it: of what was seen.
///
/// Errc::invalid_argument: no observations, options out of range, an accuracy floor that nothing
/// reaches; Errc::cancelled: stopped before anything was looked at. Thread-safe.
CLEAVE_EXPORT core::Result<ObservedTable> optimize(const table::Observations& observations,
                                                   const ObservationOptions& options = {});

/// What a choice among `some` configurations costs more than one among `all`: for each of 200
/// deadlines, evenly spread by their logarithms from the least latency of all to that of the most
/// frugal, the least energy in time (where none is, that of the fastest) of `some` over that of
/// `all`, less 1; the mean over the deadlines. Points are ln latency, ln energy, and what follows
/// is not looked at. 0 if both lists are equal. Preconditions: neither is empty, all finite.
CLEAVE_EXPORT double extra_energy(const std::vector<Objectives>& some,
                                  const std::vector<Objectives>& all);

}  // namespace cleave::inline v0::optimizer
