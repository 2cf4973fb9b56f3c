// The policies that cleave is compared with.
#pragma once

#include "scheduler/composed.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::scheduler {

/// Always the same row.
class FixedPolicy final : public Policy {
 public:
  FixedPolicy(std::string name, std::shared_ptr<const table::ParetoTable> table, std::uint32_t row);

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] const table::ParetoTable& table() const override { return *table_; }
  [[nodiscard]] Decision decide(const Request& request, const LiveState& state) override;
  void observe(const Outcome&) override {}
  void refresh(const table::LinkState&) override {}

 private:
  std::string name_;
  std::shared_ptr<const table::ParetoTable> table_;
  SwitchingCosts switching_;
  std::uint32_t row_;
};

/// DynaSplit's online algorithm (arXiv 2410.23881, section 5), which knows the front as it was
/// found and nothing else: what it expects is what the table says.
class DynaSplitPolicy final : public Policy {
 public:
  DynaSplitPolicy(std::shared_ptr<const table::ParetoTable> table,
                  std::vector<std::uint32_t> front_by_energy);

  [[nodiscard]] std::string_view name() const override { return "dynasplit"; }
  [[nodiscard]] const table::ParetoTable& table() const override { return *table_; }
  [[nodiscard]] Decision decide(const Request& request, const LiveState& state) override;
  void observe(const Outcome&) override {}
  void refresh(const table::LinkState&) override {}

 private:
  std::shared_ptr<const table::ParetoTable> table_;
  std::vector<std::uint32_t> front_;
  std::uint32_t fastest_;
};

}  // namespace cleave::inline v0::scheduler
