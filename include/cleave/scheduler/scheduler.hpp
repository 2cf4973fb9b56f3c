// Picks a table row for every request: pure decisions, no I/O, no clock, no libtorch.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/local_tails.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/table/workload.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::scheduler {

/// What a caller asks of one inference.
struct Request {
  /// From the request's start; infinity: none.
  core::Seconds deadline = core::Seconds(std::numeric_limits<double>::infinity());
  double accuracy_floor = 0;   ///< 0..1; rows below it are not considered
  core::Seconds elapsed = {};  ///< of the deadline, already gone when decide() is called
};

/// What an energy budget (EnergyBudget) leaves at this moment. Without one: everything.
struct EnergyState {
  /// The edge's joules that may be spent now.
  core::Joules available = core::Joules(std::numeric_limits<double>::infinity());
  double fill = 1;  ///< of what can be saved up, 0..1
};

/// What the device knows at this moment. The spans must live as long as the call they are given to.
struct LiveState {
  table::LinkState link = {};
  bool cloud_reachable = true;
  core::Seconds queue = {};  ///< that a request waits in the cloud before its tail runs
  /// The level each knob is set to now, in the table's order of knobs. Empty: not known, and then
  /// no cost of switching is charged.
  std::span<const core::LevelIndex> edge_levels = {}, cloud_levels = {};
  /// Until the edge has done what goes before this request. A row waits for it before its head,
  /// unless it computes nothing on the edge. It costs no energy: whoever computes meanwhile pays.
  core::Seconds edge_wait = {};
  /// The longest that a row may keep the edge, head and encoding together, so that more urgent
  /// requests of others find it free in time. If no row is that short, it counts for nothing.
  core::Seconds edge_limit = core::Seconds(std::numeric_limits<double>::infinity());
  EnergyState energy = {};
};

enum class Reason : std::uint8_t {
  least_energy,  ///< the least energy of those that meet deadline and floor
  fastest,       ///< none meets the deadline with the confidence: the least expected latency
  refused,       ///< none meets the deadline (or the floor) and the caller prefers no answer
  fixed,         ///< the policy always picks this row
  exploring,     ///< it may have got better than it was found (LearningOptions::explore)
  saving,        ///< what would be in time is more than the energy budget leaves a request
};
CLEAVE_EXPORT std::string_view to_string(Reason reason);

/// Decision::row when there is none.
inline constexpr std::uint32_t no_row = std::numeric_limits<std::uint32_t>::max();

struct Decision {
  std::uint32_t row = no_row;  ///< of the table; no_row: refused
  /// In parts, corrected by what was learnt, without switching. Its energy is of origin measured
  /// only if the table's is; what a meter taught scales the table's watts.
  table::Prediction prediction;
  core::Seconds switching;   ///< setting the knobs of this row from what is set now
  core::Seconds edge_wait;   ///< before the head: LiveState::edge_wait, or 0 without a head
  core::Seconds edge_hold;   ///< head and encoding: what keeps the edge from others
  core::Seconds latency;     ///< expected: the wait, the parts and the switching
  core::Seconds bound;       ///< not exceeded with the confidence asked for
  core::Joules energy;       ///< at the table's boundary, switching and hedging included
  core::Joules edge_energy;  ///< the edge's part of it, without hedging: what a budget sets aside
  core::Joules hedging;      ///< the edge's, beside the cloud: PolicyOptions::hedged
  bool meets_deadline = false;  ///< elapsed + bound <= deadline
  Reason reason = Reason::refused;
};

/// The joules of a request.
struct MeteredEnergy {
  core::Energy counted;   ///< by a meter
  core::Joules modelled;  ///< of the edge, by the table's watts over the time that it took
};

/// What became of a decision.
struct Outcome {
  std::uint32_t row = no_row;
  table::LinkState link = {};         ///< of the LiveState that it was decided with
  table::LatencyParts measured = {};  ///< what each part took
  /// It ran as decided. False (link lost, fell back to the edge, cancelled): nothing is learnt, as
  /// the parts say nothing of the row.
  bool completed = true;
  /// If there was a meter. Where its joules are not the edge's (Boundary::edge), or not measured,
  /// nothing is learnt from them.
  std::optional<MeteredEnergy> energy = {};
};

/// Everything a policy may be asked from several threads at once. decide() never allocates, blocks
/// or throws.
class CLEAVE_EXPORT Policy {
 public:
  virtual ~Policy();

  /// "cleave", "all-cloud", ...
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual const table::ParetoTable& table() const = 0;
  [[nodiscard]] virtual Decision decide(const Request& request, const LiveState& state) = 0;
  /// How soon a request could surely be done: the bound of what decide() would give a request that
  /// is late already. Infinity where that is nothing.
  [[nodiscard]] virtual core::Seconds soonest(const Request& request, const LiveState& state);
  /// What the edge would take for this one of table::local_tails(table()), corrected by what was
  /// learnt of it.
  [[nodiscard]] virtual core::Seconds expected(const table::LocalTail& tail) const;
  /// Takes the result in. Not on the request's path: it may re-compose the whole table (tens of
  /// microseconds for 1,000 rows).
  virtual void observe(const Outcome& outcome) = 0;
  /// Re-composes the rows for this link if it is not the one they were composed for, so that the
  /// next decide() need not. Optional; call it when the estimate of the link moves.
  virtual void refresh(const table::LinkState& link) = 0;
  /// One line for people on what decide() gave for this request and state: the row as explain()
  /// below has it, and, where the policy weighs rows, what was learnt of it and what speaks against
  /// the cheaper ones. Looks at every row and allocates.
  [[nodiscard]] virtual std::string explain(const Request& request, const LiveState& state,
                                            const Decision& decision);
  /// What was learnt so far, for restore() in this process or a later one. Empty: the policy learns
  /// nothing. The link of the moment is not part of it.
  [[nodiscard]] virtual std::vector<std::byte> learnt() const;
  /// Goes on from what learnt() gave, in place of what was learnt since. Errc::corrupt; version (of
  /// a newer cleave); mismatch: learnt with another table; unsupported: the policy learns nothing.
  /// On an error nothing changes.
  [[nodiscard]] virtual core::Result<void> restore(std::span<const std::byte> learnt);
};

/// What CleavePolicy assumes of the errors it learns (see scheduler/corrections.hpp): natural
/// logarithms of measured over predicted, as normal variables that drift back to zero.
struct LearningOptions {
  bool enabled = true;
  double row_deviation = 0.5;      ///< prior standard deviation of one row's own error
  double shared_deviation = 0.15;  ///< and of the error shared by a host's setting, or by the link
  /// Of the edge's power at one setting, and of that of all its settings, where a meter tells it:
  /// published watts are easily a third off.
  double power_deviation = 0.3;
  double noise = 0.05;     ///< least standard deviation of one measurement
  double half_life = 400;  ///< requests after which what was learnt has lost half its weight
  /// The same of one row's own error: of a row that was found slow, and is not run, nothing new is
  /// heard, and it must not come back by being forgotten.
  double row_half_life = 1e5;
  /// A row that was found worse than predicted, was not run for half_life requests, and would be
  /// the cheapest if it were as predicted, is run once more where the deadline leaves time for what
  /// it took. After an eighth of that a request runs it that is expected to be late with any row,
  /// and would be in time with this one if it were as predicted; looks of these at several rows
  /// are a fortieth apart. Requests that are decided before
  /// its outcome is observed may run it, too.
  bool explore = true;
  double largest_factor = 8;  ///< corrections stay within [1/this, this]
};

enum class OnMiss : std::uint8_t {
  fastest,  ///< no row meets the deadline: take the one of least expected latency
  refuse,   ///< ... give no row, so the caller can drop the request
};

struct PolicyOptions {
  /// The share of requests that should finish within the latency promised, 0.5 .. 0.9999.
  double confidence = 0.95;
  OnMiss on_miss = OnMiss::fastest;
  /// Rows composed for a link that differs by no more than this (relative, in each of its three
  /// figures) are used as they are; otherwise decide() composes every row anew.
  double link_tolerance = 0.02;
  /// Whoever runs the rows begins with the tail on the edge while the cloud is waited for, at the
  /// last moment at which the edge can still make the deadline alone (runtime::Hedge::last_moment).
  /// What the edge is expected to spend on that until the reply is there then counts as the row's:
  /// its watts under the settings of the tail (table::LocalTail), above idle. Where the deadline is
  /// hardly longer than the edge needs, a row without the cloud may so be the cheapest. Where head
  /// and tail are too long for the deadline there is no such moment, and no such cost. An energy
  /// budget pays what it came to, and refuses nothing for it.
  bool hedged = false;
  LearningOptions learning = {};
};

/// The names make_policy() knows.
CLEAVE_EXPORT std::span<const std::string_view> policy_names();

/// - "cleave": the least energy whose latency, at the confidence asked for, meets deadline and
///   accuracy floor given link, queue, the cost of switching knobs, that of hedging
///   (PolicyOptions::hedged) and what was learnt; else the fastest, or none (OnMiss). Cloud out of
///   reach: all-edge rows only. Left out are rows that keep the edge for longer than
///   LiveState::edge_limit, and those that take more of the edge's joules than a request may of
///   what is left in the budget (see EnergyBudget). If none of the others is in time, and the
///   fastest row of all takes more than that, too, then (1) the row of least expected latency
///   within it, if that is in time; else (2) the row that takes the least of the edge; (3) none, if
///   the budget does not have even that. With OnMiss::refuse only (3).
/// - "all-cloud": always the fastest row that runs nothing on the edge. "all-edge": always the
///   fastest row that runs nothing in the cloud.
/// - "fastest", "frugal": always the front's row of least latency, of least energy.
/// - "dynasplit": the front by energy, the first row whose stored latency meets the deadline, else
///   the fastest; no link, queue, switching or learning (arXiv 2410.23881, section 5).
/// The fixed policies look at neither deadline, floor, nor whether the cloud is there: falling back
/// is up to who runs the row.
/// Errc::not_found: no such policy, or the table has no row it could pick; Errc::invalid_argument:
/// an empty table, rows that do not fit its knobs, options out of range.
CLEAVE_EXPORT core::Result<std::unique_ptr<Policy>> make_policy(
    std::string_view name, std::shared_ptr<const table::ParetoTable> table,
    const PolicyOptions& options = {});

/// Where a row runs the network: all in the cloud, all on the edge, or split.
CLEAVE_EXPORT table::DecisionKind kind_of(const table::TableRow& row);

/// One line for people: the row, why it was picked, what it is expected to cost.
CLEAVE_EXPORT std::string explain(const table::ParetoTable& table, const Decision& decision);

}  // namespace cleave::inline v0::scheduler
