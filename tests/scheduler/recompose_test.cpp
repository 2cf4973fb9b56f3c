// What makes composing a table anew quick must not be seen in what it gives.
#include "scheduler/sort_keys.hpp"
#include "tests/scheduler/random_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace cleave {
namespace {

using scheduler::Key;
using scheduler::LiveState;
using scheduler::make_policy;
using scheduler::PolicyOptions;
using test::Dice;

TEST(SortKeys, SortsWhateverTheNumbersAre) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  Dice dice(3);
  const std::vector<std::function<double()>> kinds = {
      [&] { return dice.between(0.1, 10); },
      [&] { return std::exp(dice.between(-700, 700)); },
      [&] { return dice.chance(0.99) ? 1 + dice.between(0, 1e-9) : 1e30; },  // all alike but one
      [&] { return 2.5; },
      [&] { return dice.chance(0.5) ? 0.0 : -0.0; },
      [&] { return dice.chance(0.1) ? infinity : dice.between(0, 1); },
      [&] { return dice.between(-1, 1); },
      [&] { return dice.between(0, 1) * std::numeric_limits<double>::min(); },
  };
  for (const auto& kind : kinds)
    for (const std::size_t count : {0, 1, 2, 63, 64, 65, 1000, 5000}) {
      std::vector<Key> keys(count), spare(count + 3);
      for (std::uint32_t i = 0; i < count; ++i) keys[i] = {kind(), i};
      const std::vector<Key> given = keys;
      scheduler::sort_keys(keys, spare);
      std::vector<bool> seen(count);
      for (std::size_t i = 0; i < count; ++i) {
        ASSERT_TRUE(i == 0 || keys[i - 1].value <= keys[i].value);
        ASSERT_FALSE(seen[keys[i].row]);
        seen[keys[i].row] = true;
        ASSERT_EQ(keys[i].value, given[keys[i].row].value);
      }
    }
}

// Rows composed together, and sorted, against rows composed one by one while deciding.
TEST(Recompose, DecidesAsIfEveryRowWereComposedForTheRequest) {
  for (const std::size_t rows : {1, 63, 64, 200})
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      Dice dice(seed);
      auto made = test::random_table(rows, seed);
      made.boundary = static_cast<core::Boundary>(seed % 3);
      const auto table = test::share(std::move(made));
      PolicyOptions options;
      options.learning.explore = false;  // only known of rows composed beforehand
      const auto policy = make_policy("cleave", table, options).value();
      for (int i = 0; i < 50; ++i) {
        const std::uint32_t row = dice.below(static_cast<std::uint32_t>(rows));
        auto took = table::compose(table->rows[row].ingredients, table->reference, {}).latency;
        took.edge_compute = took.edge_compute * dice.between(0.5, 2);
        took.transfer = took.transfer * dice.between(0.5, 2);
        took.cloud_compute = took.cloud_compute * dice.between(0.5, 2);
        const core::Joules modelled(1), counted(dice.between(0.7, 1.4));
        policy->observe({.row = row,
                         .link = table->reference,
                         .measured = took,
                         .energy = scheduler::MeteredEnergy{
                             {counted, core::Boundary::edge, core::Origin::measured}, modelled}});
      }
      for (int i = 0; i < 20; ++i) {
        LiveState state{.link = table->reference};
        state.link.up =
            dice.chance(0.1) ? core::BytesPerSecond() : state.link.up * 3 * dice.between(0.1, 1);
        state.link.round_trip = state.link.round_trip * dice.between(1.1, 9);
        state.queue = core::milliseconds(dice.between(0, 30));
        const scheduler::Request request{.deadline = core::milliseconds(dice.between(5, 500))};
        policy->refresh(table->reference);
        const auto scanned = policy->decide(request, state);
        policy->refresh(state.link);
        const auto composed = policy->decide(request, state);
        ASSERT_EQ(composed.row, scanned.row);
        ASSERT_EQ(composed.reason, scanned.reason);
        ASSERT_NEAR(composed.latency.count(), scanned.latency.count(), 1e-12);
        ASSERT_NEAR(composed.bound.count(), scanned.bound.count(), 1e-12);
        ASSERT_NEAR(composed.energy.count(), scanned.energy.count(), 1e-12);
        ASSERT_NEAR(composed.edge_energy.count(), scanned.edge_energy.count(), 1e-12);
      }
    }
}

// Errors of a thousand rows are let drift in turn.
TEST(Recompose, ARowThatDoesNotRunForgetsByItsHalfLifeToAThousandth) {
  auto made = test::random_table(1000, 5);
  made.rows[500].ingredients.accuracy.value = 0.99;  // to ask for it
  made.rows[500].ingredients.edge_compute = core::milliseconds(50);
  const auto table = test::share(std::move(made));
  PolicyOptions options;
  options.learning.shared_deviation = 0;
  for (const double half_life : {1.0, 100.0, 1e4, 1e5}) {
    options.learning.row_half_life = half_life;
    const auto policy = make_policy("cleave", table, options).value();
    const auto learn = [&](std::uint32_t row, double factor) {
      auto took = table::compose(table->rows[row].ingredients, table->reference, {}).latency;
      took.edge_compute = took.edge_compute * factor;
      policy->observe({.row = row, .link = table->reference, .measured = took});
    };
    const auto error = [&](scheduler::Policy& of) {
      const auto decision = of.decide({.accuracy_floor = 0.98}, {.link = table->reference});
      EXPECT_EQ(decision.row, 500u);
      return std::log(decision.prediction.latency.edge_compute /
                      table->rows[500].ingredients.edge_compute);
    };
    learn(500, 3);
    const double first = error(*policy);
    EXPECT_GT(first, 0.5);
    for (int i = 1; i <= 3000; ++i) {
      learn(static_cast<std::uint32_t>(i % 499), 1);
      const double due = first * std::exp2(-i / half_life);
      ASSERT_NEAR(error(*policy), due, 1e-3 * due + 1e-12) << half_life << ", " << i;
    }
    // What is kept is not behind.
    const auto again = make_policy("cleave", table, options).value();
    ASSERT_TRUE(again->restore(policy->learnt()));
    EXPECT_NEAR(error(*again), first * std::exp2(-3000 / half_life), 1e-9);
  }
}

}  // namespace
}  // namespace cleave
