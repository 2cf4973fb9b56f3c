// Several networks on one device: what each should do when all of them run at once.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/optimizer/constraints.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::optimizer {

/// One network of several, and what is asked of it.
struct JointModel {
  const table::Profile* profile = nullptr;
  double rate = 1;  ///< requests a second, above 0
  core::Seconds deadline = core::Seconds(std::numeric_limits<double>::infinity());
  double accuracy_floor = 0;
  Constraints constraints = {};
};

struct JointOptions {
  core::Boundary boundary = core::Boundary::edge_cloud_device;
  /// The link that all share; none: that of the first profile.
  std::optional<table::LinkState> link = {};
  /// Shares of its time that the edge may compute and encode, and the link upwards may carry bytes.
  double max_edge_load = 1, max_link_load = 1;
  std::stop_token stop = {};  ///< the best found until then
};

/// One setting of the device's knobs and a configuration of each network at it.
struct JointChoice {
  std::vector<table::TableRow> rows;  ///< one per model, in their order
  core::Watts power;                  ///< the sum of rate x energy of a request
  double tightness = 0;  ///< the largest latency over deadline; a model without one does not count
  double edge_load = 0, link_load = 0;
};

struct JointFront {
  /// By ascending power: less power only with more tightness. All keep every deadline (tightness at
  /// most 1) and both loads.
  std::vector<JointChoice> choices;
  /// No choice of these networks that keeps the deadlines and the loads needs less: the first
  /// choice's power where it is known to be the least.
  core::Watts bound;
  double space = 0;                ///< joint configurations, deadlines and loads aside
  std::uint64_t combinations = 0;  ///< that were looked at
  /// The front of all. False: the search was stopped, or the loads bind and some setting had too
  /// many combinations to rule out; `bound` then tells how far off the first choice may be.
  bool exact = true;
};

/// The front of power against tightness over cut x codec x cloud setting of each network and one
/// setting of the edge's knobs for all. The device has one clock frequency at a time: that is what
/// ties the networks together, and once it is fixed they only share the loads. So the settings are
/// gone through one by one, and for each the networks' own fronts are merged, one after the other
/// (the least sum of power for each greatest tightness; cf. the Pareto algebra of Geilen, Basten,
/// Theelen and Otten, Fundamenta Informaticae 78, 2007). Where both loads leave room that is the
/// front. Where they bind it is found point by point, the least power of all that is less tight
/// than the last, by branch and bound on the Lagrangian dual (Fisher, Management Science 27, 1981).
///
/// Latencies are those of a request that waits for no other, so a load near 1 promises too much:
/// ask for less where requests come at random.
///
/// Errc::invalid_argument: no models, rates or loads out of range, deadlines or loads that nothing
/// keeps (the message says which); mismatch: profiles whose edges have other knobs or no setting in
/// common; cancelled: stopped before anything was found; and those of optimize(). Thread-safe.
CLEAVE_EXPORT core::Result<JointFront> optimize_jointly(std::span<const JointModel> models,
                                                        const JointOptions& options = {});

}  // namespace cleave::inline v0::optimizer
