// Why a row was picked, and what speaks against those that would have been better.
#pragma once

#include "scheduler/composed.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <array>
#include <cstddef>
#include <string>

namespace cleave::inline v0::scheduler {

/// The rows that a decision passed over, by what rules them out.
class PassedOver {
 public:
  /// `joules`: the most of the edge's that the request may take.
  PassedOver(const table::ParetoTable& table, const Request& request, const LiveState& state,
             double joules, const Decision& decision);

  /// Each row once, at what it would cost this request.
  void add(const Composed& row, const Cost& cost);

  /// "; cheaper but too late: 3, the cheapest ...". Empty if there is nothing to say.
  [[nodiscard]] std::string text() const;

 private:
  enum Cause : std::size_t { out_of_reach, below_floor, late, too_long, too_dear, causes };
  struct Rows {
    std::size_t count = 0;
    std::uint32_t best = no_row;
    Cost cost{};
  };
  [[nodiscard]] std::string text(Cause cause) const;

  const table::ParetoTable& table_;
  const Request& request_;
  const LiveState& state_;
  const double joules_;
  const Decision& decision_;
  std::array<Rows, causes> rows_;
  Rows soonest_;  // of those allowed
};

/// "; learnt: edge x1.20, link x0.93, cloud x1.00"; empty if all are 1.
std::string learnt_text(const Factors& factors);

}  // namespace cleave::inline v0::scheduler
