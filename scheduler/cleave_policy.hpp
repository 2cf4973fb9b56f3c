// The policy that the library is for; make_policy("cleave") in the public header describes it.
#pragma once

#include "scheduler/composed.hpp"
#include "scheduler/corrections.hpp"
#include "scheduler/snapshots.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <atomic>
#include <memory>
#include <mutex>

namespace cleave::inline v0::scheduler {

class CleavePolicy final : public Policy {
 public:
  /// The table and options are checked by make_policy().
  CleavePolicy(std::shared_ptr<const table::ParetoTable> table, const PolicyOptions& options);

  [[nodiscard]] std::string_view name() const override { return "cleave"; }
  [[nodiscard]] const table::ParetoTable& table() const override { return *table_; }
  [[nodiscard]] Decision decide(const Request& request, const LiveState& state) override;
  [[nodiscard]] core::Seconds soonest(const Request& request, const LiveState& state) override;
  [[nodiscard]] core::Seconds expected(const table::LocalTail& tail) const override;
  void observe(const Outcome& outcome) override;
  void refresh(const table::LinkState& link) override;
  [[nodiscard]] std::string explain(const Request& request, const LiveState& state,
                                    const Decision& decision) override;
  [[nodiscard]] std::vector<std::byte> learnt() const override;
  [[nodiscard]] core::Result<void> restore(std::span<const std::byte> learnt) override;

 private:
  [[nodiscard]] bool close(const table::LinkState& a, const table::LinkState& b) const;
  struct Choice {
    ComposedTable::Pick pick;  // no_row: none
    Reason reason = Reason::refused;
    bool any = true;  // whether there was a row to pick from
  };
  /// By the precomposed order. `late_look`: who is late anyway may look whether a row has got
  /// better.
  [[nodiscard]] Choice choose(const ComposedTable& composed, double joules, const Request& request,
                              const LiveState& state, bool late_look) const;
  /// Row by row, for a link that the rows were not composed for.
  [[nodiscard]] Choice scan(const ComposedTable& composed, double joules, const Request& request,
                            const LiveState& state) const;
  void recompose(const table::LinkState& link);

  std::shared_ptr<const table::ParetoTable> table_;
  PolicyOptions options_;
  SwitchingCosts switching_;
  const std::vector<RowBatch> batches_;
  const std::vector<table::LocalTail> tails_;  // empty: not hedged
  Snapshots<ComposedTable> composed_;
  std::atomic<bool> scanned_ = false;  // decide() met a link that composed_ is not for
  mutable std::mutex writing_;         // guards what follows, and the writer's side of composed_
  Corrections corrections_;
  table::LinkState wanted_;
  table::LinkState observed_link_;  // of the last outcome
  bool stale_ = false;              // corrections_ and wanted_ are newer than composed_
};

}  // namespace cleave::inline v0::scheduler
