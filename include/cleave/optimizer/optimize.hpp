// From a profile to the Pareto table that the scheduler picks from.
#pragma once

#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/optimizer/constraints.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::optimizer {

/// Every link between these, the ends included: bandwidths from edge to cloud, those back in the
/// reference link's proportion.
struct LinkRange {
  core::BytesPerSecond least, most;
  core::Seconds shortest, longest;  ///< round trips
};

struct OptimizeOptions {
  Algorithm algorithm = Algorithm::nsga2;
  /// Configurations that may be evaluated: this many, or if 0 this share of the feasible ones (at
  /// least `population`). Exhaustive search looks at all.
  std::uint64_t evaluations = 0;
  double budget_share = 0.2;
  std::size_t population = 40;  ///< of NSGA-II, at least 8; rounded up to a multiple of 4
  std::uint64_t seed = 1;
  bool seeded = true;    ///< see SearchOptions::seeded; off for comparison
  unsigned threads = 1;  ///< the table does not depend on it

  core::Boundary boundary = core::Boundary::edge_cloud_device;
  /// Configurations that are right less often are not feasible.
  double accuracy_floor = 0;
  /// Accuracy is a third objective where the profile measured it. Off: only the floor counts.
  bool accuracy_objective = true;
  /// Accuracies are compared in steps of this, as what they were counted on is a sample.
  double accuracy_step = 0.005;

  /// What no row of the table may break.
  Constraints constraints = {};

  /// The link that TableRow::latency is predicted for; none: the profile's own.
  std::optional<table::LinkState> reference = {};
  /// The table holds the fronts of these links too, as multiples of the reference's bandwidths ...
  std::vector<double> bandwidth_factors = {0.25, 4};
  /// ... and, in full, of these.
  std::vector<table::LinkState> links = {};
  /// ... and of as many links of a range as it takes for the best configuration of any link in it
  /// to be in the table, or one that is slower and hungrier by the margin at most; among what was
  /// looked at (exhaustive search: among all).
  std::optional<LinkRange> range = {};
  /// And of the reference link with the cloud's queue this long.
  std::vector<core::Seconds> queues = {};

  /// Rows within this relative distance of a front are kept too: latency and energy may both exceed
  /// those of a front's row by no more than it.
  double margin = 0.05;
  /// Bound on the table; the rows farthest from a front go first. At least 8.
  std::size_t max_rows = 1000;

  std::function<void(const SearchProgress&)> progress = {};  ///< on the caller's thread
  std::stop_token stop = {};  ///< the table then holds the best found so far
};

/// How many different feasible configurations a profile allows under an accuracy floor and
/// constraints. Errors: those of optimize().
CLEAVE_EXPORT core::Result<std::uint64_t> count_configurations(const table::Profile& profile,
                                                               double accuracy_floor = 0,
                                                               const Constraints& constraints = {});

/// Searches cut x codec x edge knobs x cloud knobs. Only configurations that the profile can price
/// and that keep within the constraints are ever proposed: settings that were measured, lossy
/// codecs where their accuracy was measured; an all-edge configuration is one configuration
/// whatever codec and cloud setting it names. Exhaustive search takes some hundred nanoseconds for
/// each, and no memory but for what comes into the table.
///
/// The table is the union of the fronts (latency, energy at `boundary`, accuracy) over the
/// reference link, the other links and queues, and the cloud being out of reach (all-edge rows
/// only), with the rows within `margin` of them, by ascending energy. The fastest and the most
/// frugal all-cloud row seen are kept as well, to compare with. TableRow::on_front: on the front of
/// the reference link with an empty queue. SearchSummary::hypervolume is that front's, as a share
/// of the box between the best and the worst of each objective seen.
///
/// Errc::invalid_argument: an empty or inconsistent profile, options out of range, a constraint or
/// an accuracy floor that leaves nothing (the message says which); not_found: a cut's name that the
/// profile does not have; unsupported: a constraint on what an older profile does not tell;
/// cancelled: stopped before anything was evaluated; exhausted: see search(). Thread-safe.
CLEAVE_EXPORT core::Result<table::ParetoTable> optimize(const table::Profile& profile,
                                                        const OptimizeOptions& options = {});

}  // namespace cleave::inline v0::optimizer
