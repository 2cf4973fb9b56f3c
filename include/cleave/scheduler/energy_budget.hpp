// Joules that must last: so many an hour, or a battery until a certain time.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/scheduler/scheduler.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>

namespace cleave::inline v0::scheduler {

struct EnergyBudgetOptions {
  /// What comes in; not used with a battery.
  core::Watts rate = {};
  /// A battery: so many joules, to last for so long. 0: none, the rate counts.
  core::Joules battery = {};
  core::Seconds lasting = {};
  /// How much can be saved up, as the time in which so much comes in.
  core::Seconds horizon = core::Seconds(60);
};

/// A rate, as "500J/h", "0.5J/s" or "2W"; or a battery and how long it is to last, as "20kJ:4h".
/// Units: J, kJ, MJ, Wh, kWh; mW, W; s, min, h. Errc::invalid_argument: anything else, or 0.
CLEAVE_EXPORT core::Result<EnergyBudgetOptions> parse_energy_budget(std::string_view text);

/// The edge's joules, whatever boundary a table counts: they are what its battery gives. A bucket,
/// full at first, that holds what comes in within the horizon. Requests take from it what their row
/// is expected to take, and settle the difference when it is known.
///
/// From a rate r with a bucket of B joules, for every time t since the beginning:
///
///     spent(t) <= B + r t + what the requests under way exceeded their predictions by
///
/// the last term being paid back before another request runs. A battery of J joules that is to last
/// for T gives what is left of it evenly over what is left of T; what does not fit into the bucket
/// stays in the battery; so nothing is spent beyond J but that last term. After T all that is left
/// may be spent.
///
/// The rule by which it trades against deadlines: a request may take
///
///     all that the bucket holds, if it is half full or more;
///     else l (m / l)^(2 f), f being how full it is, l and m the least and the most of the edge's
///     joules that a row of its table takes, and never more than the bucket holds.
///
/// So an ample budget changes nothing. A short one makes joules dearer the emptier the bucket is:
/// first the requests lose their deadlines that would have cost the most to keep, then others, and
/// a request that is late anyway takes the least; at last, when the bucket does not hold even that,
/// requests are refused. It is the threshold of the online knapsack problem (Zhou, Chakrabarty and
/// Lukose, Budget constrained bidding in keyword auctions and online knapsack problems, WINE 2008),
/// which no algorithm that does not know the future beats by more than a constant; each deadline is
/// worth the same. Where requests come evenly, the bucket finds the level at which what comes in is
/// spent.
///
/// Thread-safe. Times are those of one monotonic clock, in any order; those before the latest seen
/// count as that.
class CLEAVE_EXPORT EnergyBudget {
 public:
  /// Begins at `now`. Errc::invalid_argument: neither a rate nor a battery above 0, both, or a time
  /// that is not above 0; all must be finite.
  static core::Result<std::shared_ptr<EnergyBudget>> make(const EnergyBudgetOptions& options,
                                                          core::Seconds now);

  /// As if it were made now: what was spent until then does not count. No request may be under way.
  void restart(core::Seconds now);
  /// What a request that is decided now finds.
  [[nodiscard]] EnergyState state(core::Seconds now);
  /// Sets this aside, or (false) nothing, if the bucket does not hold it: another thread was
  /// faster.
  [[nodiscard]] bool reserve(core::Joules joules, core::Seconds now);
  /// What was set aside for a request was spent as so much. Not finite: as what was set aside.
  void settle(core::Joules reserved, core::Joules spent, core::Seconds now);

  [[nodiscard]] core::Joules spent() const;     ///< of the requests that are settled
  [[nodiscard]] core::Joules capacity() const;  ///< B

 private:
  EnergyBudget(const EnergyBudgetOptions& options, core::Seconds now);
  void advance(core::Seconds now);

  mutable std::mutex mutex_;
  double rate_;               // W; 0 with a battery
  double battery_, lasting_;  // J, s
  double pool_ = 0;           // J of a battery that have not come in
  double end_ = 0;            // s; when the battery may be empty
  double capacity_, level_;   // J; the level is below 0 after an overrun
  double now_, spent_ = 0;    // s, J
};

}  // namespace cleave::inline v0::scheduler
