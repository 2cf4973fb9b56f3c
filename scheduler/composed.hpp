// The rows of a table composed for one link, laid out so that picking one is quick.
#pragma once

#include "scheduler/compose_many.hpp"
#include "scheduler/corrections.hpp"
#include "scheduler/sort_keys.hpp"

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/local_tails.hpp>
#include <cleave/table/pareto_table.hpp>
#include <cleave/table/predictor.hpp>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace cleave::inline v0::scheduler {

/// What switching to a row costs.
struct Switching {
  core::Seconds edge, cloud;
  [[nodiscard]] core::Seconds total() const { return edge + cloud; }
};

/// The knob levels of all rows side by side.
class SwitchingCosts {
 public:
  explicit SwitchingCosts(const table::ParetoTable& table);
  /// Of the knobs whose level differs, the sum of their switch costs; a host's share is 0 if its
  /// levels are not known, the cloud's for a row that does not use it.
  [[nodiscard]] Switching of(std::uint32_t row, const LiveState& state) const;

 private:
  std::vector<core::Seconds> edge_costs_, cloud_costs_;
  std::vector<core::LevelIndex> edge_levels_, cloud_levels_;
  std::vector<bool> uses_cloud_;
};

/// A row with empty queues on the link it was composed for.
struct Composed {
  double latency = 0;      ///< s
  double margin = 0;       ///< see Corrections::margin()
  double energy = 0;       ///< J at the table's boundary
  double edge_energy = 0;  ///< J of the edge
  double busy = 0;         ///< W of the edge
  double idle = 0;         ///< W of the edge
  float accuracy = 0;
  float hold = 0;  ///< s that it keeps the edge
  std::uint32_t row = 0;
  bool cloud = false;
  bool head = false;  ///< computes something on the edge
  [[nodiscard]] double bound() const { return latency * (1 + margin); }
};
// Picking reads all of it, row after row.
static_assert(sizeof(Composed) == 64);

/// What the edge would do for a row's tail beside the cloud (PolicyOptions::hedged); nothing for a
/// row that does not use it.
struct Beside {
  double time = 0;   ///< s, by itself
  double watts = 0;  ///< above idle
};

/// One row's cost for one request.
struct Cost {
  double latency, bound, energy, edge_energy;
  double hedging = 0;  ///< J, part of `energy`
  core::Seconds switching;
};

/// The joules of working beside the cloud until its reply is expected (`latency`), from the last
/// moment at which the edge can make the deadline alone. Nothing where that is before `head`, when
/// the edge has sent what the cloud needs.
double hedging(const Beside& beside, double head, double latency, double remaining);

/// What keeps the edge from others: the head and the encoding.
core::Seconds edge_hold(const table::Ingredients& in);
/// Before the head; nothing where there is none.
core::Seconds edge_wait(const table::Ingredients& in, const LiveState& state);

/// Composes one row.
Composed compose_row(const table::ParetoTable& table, std::uint32_t row, const Factors& factors,
                     double margin, const table::LinkState& link);

/// A queue delays a row that uses the cloud, the edge idling meanwhile: both grow linearly with it,
/// so that composing for an empty queue is enough. Switching edge knobs keeps the edge busy, the
/// cloud's keeps it waiting. The edge's own queue delays rows with a head and costs nothing.
Cost cost_of(const Composed& row, const Switching& switching, const LiveState& state,
             const Beside& beside, double remaining);

/// Whether floor, reach and the limit on keeping the edge let it through.
bool usable(const Composed& row, const Request& request, const LiveState& state);

/// The most of the edge's joules that a request may take: see EnergyBudget. `least` and `most` are
/// what rows take.
double allowance(const EnergyState& state, double least, double most);

/// Of two costs, which to prefer: less energy, then less time, then the earlier row.
bool better(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b);
/// The same for the fastest.
bool faster(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b);

/// The same for what takes the least of the edge's joules.
bool lighter(const Cost& a, std::uint32_t row_a, const Cost& b, std::uint32_t row_b);

/// Everything decide() reads, immutable once published.
class ComposedTable {
 public:
  ComposedTable() = default;
  /// Reserves all memory, so that compose() allocates nothing.
  explicit ComposedTable(std::size_t rows);

  /// `batches` are the table's, `tails` its rows' if they are hedged, or else empty.
  void compose(const table::ParetoTable& table, const std::vector<RowBatch>& batches,
               std::span<const table::LocalTail> tails, const Corrections& corrections,
               const table::LinkState& link);

  struct Pick {
    std::uint32_t row = no_row;
    Cost cost{};
  };
  /// The least energy within `remaining` and up to so much of the edge's joules; no_row if there
  /// is none.
  [[nodiscard]] Pick cheapest(double joules, const Request& request, core::Seconds remaining,
                              const LiveState& state, const SwitchingCosts& switching) const;
  /// The row of least expected latency that takes up to so much of the edge's joules; no_row if
  /// there is none.
  [[nodiscard]] Pick fastest_within(double joules, const Request& request, const LiveState& state,
                                    const SwitchingCosts& switching) const;
  /// The row that takes the least of the edge; no_row if floor and reach leave none.
  [[nodiscard]] Pick least_of_edge(const Request& request, const LiveState& state,
                                   const SwitchingCosts& switching) const;
  /// Of all rows composed, infinite ones left out.
  [[nodiscard]] double least_edge_energy() const { return least_edge_energy_; }
  [[nodiscard]] double most_edge_energy() const { return most_edge_energy_; }

  /// The least expected latency; no_row if floor and reach leave none.
  [[nodiscard]] Pick fastest(const Request& request, const LiveState& state,
                             const SwitchingCosts& switching) const;

  /// Of the rows that are worth trying, the one that would cost least, and less than `pick`, if it
  /// had no error of its own, and that is in time and within the joules in spite of it. no_row if
  /// there is none.
  [[nodiscard]] Pick worth_trying(const Pick& pick, double joules, const Request& request,
                                  core::Seconds remaining, const LiveState& state,
                                  const SwitchingCosts& switching) const;
  /// Where all are late, `pick` the least so: of the rows that are worth a look, the one that would
  /// be fastest if it had no error of its own, and then in time, and that is within the joules.
  /// no_row if there is none.
  [[nodiscard]] Pick worth_a_late_look(const Pick& pick, double joules, const Request& request,
                                       core::Seconds remaining, const LiveState& state,
                                       const SwitchingCosts& switching) const;

  [[nodiscard]] const table::LinkState& link() const { return link_; }
  [[nodiscard]] const Factors& factors(std::uint32_t row) const { return factors_[row]; }
  [[nodiscard]] double margin(std::uint32_t row) const { return margins_[row]; }
  [[nodiscard]] Beside beside(std::uint32_t row) const { return hedged_ ? beside_[row] : Beside(); }

 private:
  // Blocks of rows are skipped whole if none can meet the deadline.
  static constexpr std::size_t block_size = 32;
  struct Block {
    double least_edge_bound, least_cloud_bound, least_edge_energy;
    float best_accuracy;
  };

  // The least by energy or latency, as rows would be without errors of their own. Those of the edge
  // and those of the cloud apart: while the cloud is out of reach its rows must not be in the way.
  class Hopeful {
   public:
    using Less = bool (*)(const Composed&, const Composed&);
    explicit Hopeful(Less less) : less_(less) {}
    void reserve();
    void clear();
    void add(const Composed& row);
    [[nodiscard]] std::span<const std::vector<Composed>> rows() const { return rows_; }

   private:
    static constexpr std::size_t most = 8;
    Less less_;
    std::array<std::vector<Composed>, 2> rows_;
  };
  /// Of these, without `pick`, the one with the least `of` its hoped cost below `least`, whose cost
  /// fits and is within the joules.
  template <class Of, class Fits>
  [[nodiscard]] Pick most_hopeful(const Hopeful& hopefuls, double least, Of of, Fits fits,
                                  const Pick& pick, double joules, const Request& request,
                                  const LiveState& state, const SwitchingCosts& switching) const;

  [[nodiscard]] Cost cost_for(const Composed& row, const Switching& switching,
                              const Request& request, const LiveState& state) const;

  table::LinkState link_;
  std::vector<Composed> rows_;  // as in the table
  std::vector<Composed> by_energy_;
  std::vector<Block> blocks_;
  std::vector<Key> keys_, spare_;
  std::vector<Key> edge_by_latency_, cloud_by_latency_;
  Hopeful cheap_{[](const Composed& a, const Composed& b) { return a.energy < b.energy; }};
  Hopeful fast_{[](const Composed& a, const Composed& b) { return a.latency < b.latency; }};
  std::vector<Factors> factors_;
  std::vector<double> margins_;
  bool hedged_ = false;
  std::vector<Beside> beside_;
  double least_edge_energy_ = 0, most_edge_energy_ = 0;
};

}  // namespace cleave::inline v0::scheduler
