// What decide() is to give, row by row with the predictor, as the public header defines it.
#pragma once

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/local_tails.hpp>
#include <cleave/table/pareto_table.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace cleave::test {

struct Want {
  std::uint32_t row = scheduler::no_row;
  double latency = 0, bound = 0, energy = 0, edge_energy = 0, hedging = 0;
  scheduler::Reason reason = scheduler::Reason::refused;
};

inline core::Seconds switching(const std::vector<core::Knob>& knobs,
                               const std::vector<core::LevelIndex>& wanted,
                               std::span<const core::LevelIndex> now) {
  core::Seconds sum;
  for (std::size_t k = 0; k < now.size(); ++k)
    sum += now[k] != wanted[k] ? knobs[k].switch_cost : core::Seconds();
  return sum;
}

/// Learning off. `z` standard deviations of a row's spread are its margin; `composed_for` is the
/// link that the policy last composed its rows for. `tails`: if rows are hedged.
inline Want brute_force(const table::ParetoTable& table, const scheduler::Request& request,
                        const scheduler::LiveState& state, double z,
                        const table::LinkState& composed_for, bool refuses = false,
                        std::span<const table::LocalTail> tails = {}) {
  using scheduler::Reason;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  const double remaining = (request.deadline - request.elapsed).count();
  const double available = state.energy.available.count();
  double allowed = available;
  if (state.energy.fill < 0.5) {
    double least = infinity, most = 0;
    for (const table::TableRow& row : table.rows) {
      const auto made = table::compose(row.ingredients, composed_for, {});
      const double joules = made.energy.total(core::Boundary::edge).count();
      if (!std::isfinite(made.latency.total().count()))
        continue;
      least = std::min(least, joules);
      most = std::max(most, joules);
    }
    allowed = std::min(available, least * std::pow(most / least, 2 * state.energy.fill));
  }
  Want cheapest, fastest, within, lightest;
  const auto take = [](Want& best, const Want& row, auto key) {
    if (best.row == scheduler::no_row || key(row) < key(best))
      best = row;
  };
  for (const bool limited : {true, false}) {
    if (fastest.row != scheduler::no_row)
      break;
    for (std::uint32_t i = 0; i < table.rows.size(); ++i) {
      const table::TableRow& row = table.rows[i];
      const table::Ingredients& in = row.ingredients;
      const core::Seconds encode =
          in.uses_cloud ? in.encode_first + in.encode_rest : core::Seconds();
      if ((in.uses_cloud && !state.cloud_reachable) || in.accuracy.value < request.accuracy_floor ||
          (limited && (in.edge_compute + encode) > state.edge_limit))
        continue;
      const auto made = table::compose(in, state.link, state.queue);
      const core::Seconds edge =
          switching(table.edge_knobs, row.configuration.stages[0].levels, state.edge_levels);
      const core::Seconds cloud =
          in.uses_cloud
              ? switching(table.cloud_knobs, row.configuration.stages[1].levels, state.cloud_levels)
              : core::Seconds();
      const core::Seconds wait =
          in.edge_compute > core::Seconds() ? state.edge_wait : core::Seconds();
      if (!std::isfinite(made.latency.total().count()))
        continue;
      Want want;
      want.row = i;
      want.latency = (made.latency.total() + wait + edge + cloud).count();
      want.bound =
          (made.latency.total() + wait).count() * (1 + z * in.spread) + (edge + cloud).count();
      const core::Joules changing = in.edge_busy * edge + in.edge_idle * cloud;
      if (in.uses_cloud && !tails.empty()) {
        // The edge works from the last moment until the reply or its own end, unless that moment is
        // over when it has sent what its head made.
        const double alone = tails[i].time().count(),
                     watts = (tails[i].busy - in.edge_idle).count();
        const double sent = (wait + edge + cloud + in.edge_compute + encode).count();
        const double until = std::min(want.latency, remaining);
        if (sent + alone <= remaining && std::isfinite(remaining) && watts > 0)
          want.hedging = watts * std::max(0.0, until - (remaining - alone));
      }
      want.energy = (made.energy.total(table.boundary) + changing).count() + want.hedging;
      want.edge_energy = (made.energy.total(core::Boundary::edge) + changing).count();
      const auto latency = [](const Want& w) { return w.latency; };
      take(fastest, want, latency);
      take(lightest, want, [](const Want& w) { return w.edge_energy; });
      if (want.edge_energy > allowed)
        continue;
      take(within, want, latency);
      if (want.bound <= remaining)
        take(cheapest, want, [](const Want& w) { return w.energy; });
    }
  }
  const auto with = [](Want want, Reason reason) {
    want.reason = want.row == scheduler::no_row ? Reason::refused : reason;
    return want;
  };
  if (cheapest.row != scheduler::no_row)
    return with(cheapest, Reason::least_energy);
  if (refuses || fastest.row == scheduler::no_row)
    return {};
  if (fastest.edge_energy <= allowed)
    return with(fastest, Reason::fastest);
  if (within.row != scheduler::no_row && within.latency <= remaining)
    return with(within, Reason::saving);
  return lightest.edge_energy <= available ? with(lightest, Reason::saving) : Want{};
}

}  // namespace cleave::test
