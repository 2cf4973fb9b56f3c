// What was learnt of how far the predictions are off.
#pragma once

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/predictor.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::scheduler {

/// What predicted parts are multiplied with.
struct Factors {
  double edge = 1;   ///< edge compute
  double move = 1;   ///< encode, transfer, decode, round trip, reply, overhead
  double cloud = 1;  ///< cloud compute
  double power = 1;  ///< the edge's watts, radio included
};

/// Which requests may run a row that was found worse, to see whether it still is.
struct Look {
  bool if_late = false;  ///< those that are late anyway
  bool if_time = false;  ///< those that have time for what it took
  [[nodiscard]] bool any() const { return if_late || if_time; }
};

/// The row's ingredients as corrected.
table::Ingredients corrected(const table::Ingredients& in, const Factors& factors);
/// The link as corrected: with corrected() it makes compose() scale all of `move` alike.
table::LinkState corrected(const table::LinkState& link, const Factors& factors);

/// The logarithm of measured/predicted is, for each of the three groups of Factors, the sum of an
/// error that is the row's own and one that rows share: those of one edge setting (edge), those of
/// one cloud setting (cloud), all (move). Rows that compute the same (one cut, one setting, the
/// same time predicted) have one error for it: what a burst of load made of one codec's row would
/// else send the next requests to another codec's, which computes the same. Each is a normal
/// variable with mean 0 beforehand; a measurement moves both in proportion to their variances (a
/// Kalman filter's step), so a surprise corrects the row a lot and its neighbours a little, and
/// what is well known moves little. What exceeds three standard deviations is cut off there, and
/// makes the row uncertain again: one outlier does little harm, a second like it is believed. Where
/// the second is another own error's, and the same way, it is believed of what they share: the link
/// has changed, and not two rows.
///
/// With every request observed, all errors drift back to what they were beforehand, at the
/// half-lives given, a row's own the slowest; and all become uncertain again, so that what comes
/// next is believed. A row that was once found slow, and therefore is not picked, is worth another
/// look() after a while.
///
/// What a meter counts is learnt the same way: measured joules over those that the table's watts
/// give for the parts as they were measured, so that time and power are learnt apart. That error is
/// the sum of one of the edge's setting and one of all its settings; rows have none of their own.
///
/// A row's own error drifts when the row runs, and otherwise in turn with others: often enough that
/// no factor lags behind by more than a thousandth of a half-life, and seldom enough that the cost
/// of an observation does not grow with the rows that ever ran.
///
/// A setting of one row only has no error but the row's.
///
/// The groups are as coarse as what can be told apart: with overlap, encode, transfer and decode
/// hide one another. Not thread-safe.
class Corrections {
 public:
  /// `confidence` is the share of requests that should stay within the margin.
  Corrections(const table::ParetoTable& table, const LearningOptions& options, double confidence);

  /// `predicted` is uncorrected.
  void observe(std::uint32_t row, const table::LatencyParts& predicted,
               const table::LatencyParts& measured);
  /// `modelled`: by the table's watts from the measured parts; `measured`: by a meter.
  void observe_energy(std::uint32_t row, core::Joules modelled, core::Joules measured);

  /// The link's estimate has jumped: what the last requests seemed to say of the link was that.
  void link_moved();

  /// The row ran and nothing can be told of it.
  void miss(std::uint32_t row) { rows_[row].tried = looked_ = requests_; }

  [[nodiscard]] const Factors& factors(std::uint32_t row) const { return factors_[row]; }
  /// Whether the row was found worse than predicted so long ago that it may have got better.
  [[nodiscard]] Look look(std::uint32_t row) const;
  /// As if the row had no error of its own.
  [[nodiscard]] Factors hopeful(std::uint32_t row) const;
  /// By how much, relative to the corrected prediction, the row's latency is to be bounded: at
  /// first as if it were normal with the profile's spread, then more and more the quantile of what
  /// was observed of the last rows that use (do not use) the cloud. Measured latencies have long
  /// tails, of which a standard deviation tells little.
  [[nodiscard]] double margin(std::uint32_t row) const;

  /// Everything that was learnt, as bytes (learnt.cpp has the layout).
  [[nodiscard]] std::vector<std::byte> save() const;
  /// The same of `bytes`, which need not be trusted. Errors as Policy::restore(); nothing changes
  /// then. Options and confidence stay those of this object.
  core::Result<void> load(std::span<const std::byte> bytes);

 private:
  struct Belief {
    double mean = 0;
    double variance = 0;
    double prior = 0;  // the variance beforehand, not saved
    // Of an error that rows share, not saved: who surprised last, and which way (0: nobody).
    std::uint32_t surprised_by = no_row;
    int surprise = 0;
  };
  struct RowState {
    bool uses_cloud = false;
    bool touched = false;
    double spread = 0;
    std::uint64_t tried = 0;  // requests that had been observed when it last ran
  };
  // A row's own error, or that of rows which compute the same.
  struct OwnError {
    Belief belief;
    bool touched = false;
    std::uint64_t seen = 0;     // requests that had been observed when it was last measured
    std::uint64_t drifted = 0;  // requests up to which it has drifted
  };
  // The last errors of the corrected prediction, relative; the oldest is overwritten.
  struct Residuals {
    static constexpr std::size_t window = 100;
    std::vector<double> values;
    std::size_t next = 0;
    double quantile = 0;
    void add(double value, double confidence);
    void find_quantile(double confidence);
  };
  struct Learnt;  // what is saved

  void drift(Belief& belief, double keep_mean) const;
  [[nodiscard]] OwnError drifted(const OwnError& error) const;
  void settle(std::uint32_t error);
  void settle_some();
  /// Whether nobody but the row itself has measured this error of its since it ran.
  [[nodiscard]] bool old_news(std::uint32_t error, const RowState& row) const {
    return own_errors_[error].seen <= row.tried;
  }
  void update_shared();
  /// `who`: a number of whose own belief it is, among those that share the other.
  void learn(Belief& own, Belief& shared, std::uint32_t who, double predicted, double measured,
             double noise);
  void update_factors();
  [[nodiscard]] Factors bounded(const Factors& factors) const;

  LearningOptions options_;
  double confidence_;
  double deviations_;       // of a normal variable, within which it stays so often
  double keep_, keep_row_;  // of a mean, from one request to the next; of a row's own
  std::uint64_t requests_ = 0;
  std::uint64_t looked_ = 0;  // of them, when a row last had the look() that it was worth
  std::uint64_t table_;       // a digest of the rows that this is about
  std::vector<RowState> rows_;
  std::vector<OwnError> own_errors_;
  std::vector<Belief> edge_settings_, cloud_settings_;
  Belief link_;
  std::vector<Belief> power_;  // by edge setting
  Belief all_power_;
  Residuals on_edge_, in_cloud_;
  // Where a row's errors are: its own, and those of its settings.
  struct Where {
    std::uint32_t edge = 0, move = 0, cloud = 0;
    std::uint32_t edge_setting = 0, cloud_setting = 0;
  };
  std::vector<Where> where_;
  // exp() of the beliefs.
  std::vector<double> own_factors_, edge_factors_, cloud_factors_, power_factors_;
  double link_factor_ = 1;
  std::uint32_t next_to_settle_ = 0;
  std::vector<Factors> factors_;
};

}  // namespace cleave::inline v0::scheduler
