// What a request that is late anyway may do to see whether a slow row has got better: never more
// than what it was promised without.
#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::PolicyOptions;
using scheduler::Reason;
using scheduler::Request;

// Twenty rows that would be in time were found slow; twenty others are late by a little.
TEST(LateLook, SeveralRowsAreLookedAtOneAfterTheOther) {
  constexpr std::uint32_t slow = 20;
  table::ParetoTable rows = test::random_table(2 * slow, 3);
  for (std::uint32_t i = 0; i < rows.rows.size(); ++i) {
    table::Ingredients& in = rows.rows[i].ingredients;
    in = rows.rows[0].ingredients;
    in.uses_cloud = false;
    in.edge_compute = milliseconds(i < slow ? 60 : 100);
    rows.rows[i].configuration = rows.rows[0].configuration;
  }
  const auto table = test::share(std::move(rows));
  const LiveState state{.link = table->reference};
  const auto policy = std::move(*scheduler::make_policy("cleave", table, {}));
  int looks = 0, last = -1000, least_apart = 1000;
  for (int i = 0; i < 1000; ++i) {
    const Decision got = policy->decide({.deadline = milliseconds(80)}, state);
    table::LatencyParts took =
        table::compose(table->rows[got.row].ingredients, state.link, Seconds()).latency;
    if (got.row < slow)
      took.edge_compute = took.edge_compute * 4.0;
    if (got.reason == Reason::exploring) {
      ++looks;
      least_apart = std::min(least_apart, i - last);
      last = i;
    }
    policy->observe({.row = got.row, .link = state.link, .measured = took});
  }
  EXPECT_GT(looks, 10);
  EXPECT_GE(least_apart, 10);
}

// Two policies that see the same, one of which never looks.
TEST(LateLook, KeepsWhatIsPromisedWithoutOne) {
  int late = 0, looks = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    test::Dice dice(seed);
    const auto table = test::share(test::random_table(30, seed));
    PolicyOptions options;
    options.learning.half_life = 40;
    const auto curious = std::move(*make_policy("cleave", table, options));
    options.learning.explore = false;
    const auto steady = std::move(*make_policy("cleave", table, options));
    for (int i = 0; i < 400; ++i) {
      LiveState state{.link = table->reference};
      state.cloud_reachable = dice.chance(0.8);
      state.queue = milliseconds(dice.chance(0.3) ? dice.between(0, 20) : 0);
      state.edge_wait = milliseconds(dice.chance(0.3) ? dice.between(0, 20) : 0);
      if (dice.chance(0.3))
        state.edge_limit = milliseconds(dice.between(1, 200));
      if (dice.chance(0.3))
        state.energy = {.available = core::Joules(dice.between(0, 3)), .fill = dice.between(0, 1)};
      const Request request{.deadline = milliseconds(dice.between(5, 250)),
                            .accuracy_floor = dice.chance(0.5) ? dice.between(0.85, 0.93) : 0,
                            .elapsed = milliseconds(dice.between(0, 10))};
      const Decision got = curious->decide(request, state);
      const Decision without = steady->decide(request, state);
      ASSERT_EQ(got.row == scheduler::no_row, without.row == scheduler::no_row);
      late += without.reason == Reason::fastest ? 1 : 0;
      if (got.row != without.row) {
        ASSERT_EQ(got.reason, Reason::exploring);
        const table::Ingredients& in = table->rows[got.row].ingredients;
        EXPECT_TRUE(state.cloud_reachable || !in.uses_cloud);
        EXPECT_GE(static_cast<float>(in.accuracy.value),
                  static_cast<float>(request.accuracy_floor));
        EXPECT_LE(got.edge_energy, state.energy.available);
        EXPECT_EQ(got.meets_deadline, without.meets_deadline);
        if (!got.meets_deadline) {
          ++looks;
          EXPECT_EQ(without.reason, Reason::fastest);
          EXPECT_GT(without.latency, request.deadline - request.elapsed);
          EXPECT_LE(static_cast<float>(got.edge_hold.count()), state.edge_limit.count());
        }
      }
      // Every fourth row is slow; later on none of them is run.
      table::LatencyParts took =
          table::compose(table->rows[i % 30].ingredients, state.link, {}).latency;
      const double slow = i % 4 == 0 ? dice.between(2, 6) : 1;
      for (Seconds* part : {&took.edge_compute, &took.transfer, &took.cloud_compute})
        *part = *part * slow;
      const auto row = static_cast<std::uint32_t>(i < 60 ? i % 30 : 0);
      const scheduler::Outcome outcome{
          .row = row,
          .link = state.link,
          .measured =
              i < 60 ? took : table::compose(table->rows[0].ingredients, state.link, {}).latency,
          .completed = dice.chance(0.95)};
      curious->observe(outcome);
      steady->observe(outcome);
    }
  }
  EXPECT_GT(looks, 100);
  EXPECT_LT(looks, late);
}

}  // namespace
}  // namespace cleave
