#include "tests/scheduler/random_table.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>
#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <random>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::make_policy;
using scheduler::Outcome;
using scheduler::Policy;
using scheduler::PolicyOptions;
using scheduler::Reason;
using scheduler::Request;
using table::LatencyParts;
using table::ParetoTable;
using test::random_table;
using test::share;

// Of the frugal split in three_rows(), which no other row reaches.
constexpr double frugal_accuracy = 0.95;

// Three rows: all-edge (slow), a frugal split and a dearer one, of the same settings.
std::shared_ptr<const ParetoTable> three_rows() {
  ParetoTable table = random_table(3, 4);
  table.rows[0].ingredients.edge_compute = milliseconds(300);
  table.rows[0].ingredients.accuracy.value = 0.9;
  for (const std::size_t i : {1u, 2u}) {
    auto& in = table.rows[i].ingredients;
    in = table.rows[1].ingredients;
    in.edge_compute = milliseconds(20);
    in.cloud_compute = milliseconds(10);
    in.up = core::Bytes(50e3);
    in.spread = 0.03;
    in.edge_idle = core::Watts(1);
    in.cloud_device = core::Watts(i == 1 ? 10 : 40);
    in.accuracy.value = i == 1 ? frugal_accuracy : 0.9;
    table.rows[i].configuration.stages[0].levels = {3, 1};
    table.rows[i].configuration.stages[1].levels = {1};
  }
  table.rows[0].configuration.stages[0].levels = {1, 0};
  return share(std::move(table));
}

// What the parts really take, as a factor on what the table says.
struct World {
  std::function<double(std::uint32_t row)> edge = [](std::uint32_t) { return 1.0; };
  std::function<double(std::uint32_t row)> move = [](std::uint32_t) { return 1.0; };
  std::function<double(std::uint32_t row)> cloud = [](std::uint32_t) { return 1.0; };

  LatencyParts run(const ParetoTable& table, std::uint32_t row, const LiveState& state) const {
    LatencyParts t = table::compose(table.rows[row].ingredients, state.link, state.queue).latency;
    t.edge_compute = t.edge_compute * edge(row);
    for (Seconds* part : {&t.encode, &t.transfer, &t.decode, &t.round_trip, &t.reply, &t.overhead})
      *part = *part * move(row);
    t.cloud_compute = t.cloud_compute * cloud(row);
    return t;
  }
};

std::unique_ptr<Policy> policy_of(std::shared_ptr<const ParetoTable> table, bool learn = true,
                                  double half_life = 400) {
  PolicyOptions options;
  options.learning.enabled = learn;
  options.learning.half_life = half_life;
  auto made = make_policy("cleave", std::move(table), options);
  EXPECT_TRUE(made.has_value());
  return std::move(*made);
}

// How many of `count` requests were late in that world.
int late(Policy& policy, const World& world, Seconds deadline, int count, double megabits = 20) {
  int missed = 0;
  LiveState state{.link = policy.table().reference};
  state.link.up = core::megabits_per_second(megabits);
  for (int i = 0; i < count; ++i) {
    const Decision got = policy.decide({.deadline = deadline}, state);
    const LatencyParts took = world.run(policy.table(), got.row, state);
    missed += took.total() > deadline;
    policy.observe({.row = got.row, .link = state.link, .measured = took});
  }
  return missed;
}

TEST(Learning, AWronglyMeasuredRowIsLeftAfterItsFirstMiss) {
  const auto table = three_rows();
  const World world{.edge = [](std::uint32_t row) { return row == 1 ? 3.0 : 1.0; }};
  const Seconds deadline = milliseconds(90);
  const auto learning = policy_of(table);
  EXPECT_EQ(learning->decide({.deadline = deadline}, {.link = table->reference}).row, 1u);
  EXPECT_LE(late(*learning, world, deadline, 100), 2);
  EXPECT_EQ(learning->decide({.deadline = deadline}, {.link = table->reference}).row, 2u);
  const auto stubborn = policy_of(table, false);
  EXPECT_EQ(late(*stubborn, world, deadline, 100), 100);
}

// One request in seven takes half as long again, which the profile's spread of 3 % does not tell.
TEST(Learning, ABoundIsKeptAsOftenAsAskedForWhateverTheTail) {
  const auto table = three_rows();
  for (const double confidence : {0.8, 0.95}) {
    PolicyOptions options;
    options.confidence = confidence;
    const auto policy = std::move(*make_policy("cleave", table, options));
    std::mt19937_64 random(5);
    double slow = 1;
    const auto factor = [&](std::uint32_t) { return slow; };
    const World world{.edge = factor, .move = factor, .cloud = factor};
    const LiveState state{.link = table->reference};
    int beyond = 0, counted = 0;
    for (int i = 0; i < 2000; ++i) {
      const double wobble = 1 + 0.04 * (static_cast<double>(random() % 1000) / 1000 - 0.5);
      slow = random() % 7 == 0 ? 1.5 * wobble : wobble;
      const Decision got = policy->decide({.accuracy_floor = frugal_accuracy}, state);
      const LatencyParts took = world.run(*table, got.row, state);
      policy->observe({.row = got.row, .link = state.link, .measured = took});
      if (i >= 200) {
        ++counted;
        beyond += took.total() > got.bound;
      }
    }
    EXPECT_NEAR(1 - static_cast<double>(beyond) / counted, confidence, 0.03) << confidence;
  }
}

TEST(Learning, APredictionComesToAgreeWithWhatIsMeasured) {
  const auto table = three_rows();
  for (const double factor : {0.4, 0.8, 1.3, 2.5}) {
    const World world{.edge = [&](std::uint32_t) { return factor; },
                      .move = [&](std::uint32_t) { return 1 / factor; },
                      .cloud = [&](std::uint32_t) { return factor * factor; }};
    const auto policy = policy_of(table);
    const LiveState state{.link = table->reference};
    const LatencyParts took = world.run(*table, 1, state);
    for (int i = 0; i < 6; ++i) policy->observe({.row = 1, .link = state.link, .measured = took});
    const Decision got = policy->decide({.accuracy_floor = frugal_accuracy}, state);
    ASSERT_EQ(got.row, 1u);
    EXPECT_NEAR(got.prediction.latency.edge_compute / took.edge_compute, 1, 0.05) << factor;
    EXPECT_NEAR(got.prediction.latency.cloud_compute / took.cloud_compute, 1, 0.05) << factor;
    EXPECT_NEAR(got.prediction.latency.total() / took.total(), 1, 0.05) << factor;
  }
}

TEST(Learning, ASurpriseCorrectsItsRowALotAndNeighboursALittle) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  const World world{.edge = [](std::uint32_t) { return 2.0; }};
  const LiveState state{.link = table->reference};
  policy->observe({.row = 1, .link = state.link, .measured = world.run(*table, 1, state)});
  // The dearer row shares the edge's setting, and is picked where the other is too slow now.
  const auto edge_factor = [&](std::uint32_t row, const Request& request) {
    const Decision got = policy->decide(request, state);
    EXPECT_EQ(got.row, row);
    return got.prediction.latency.edge_compute / table->rows[row].ingredients.edge_compute;
  };
  const double neighbour = edge_factor(2, {.deadline = milliseconds(72)});
  EXPECT_GT(neighbour, 1.01);
  EXPECT_LT(neighbour, 1.2);
  EXPECT_GT(edge_factor(1, {.accuracy_floor = frugal_accuracy}), 1.7);
}

TEST(Learning, AHostThatSlowedDownIsLearntFromSomeOfItsRows) {
  ParetoTable made = random_table(60, 8);
  for (auto& row : made.rows) {
    row.configuration.stages[0].levels = {0, 0};
    row.ingredients.uses_cloud = false;
    row.ingredients.edge_compute += milliseconds(1);
  }
  const auto table = share(std::move(made));
  const auto policy = policy_of(table);
  const LiveState state{.link = table->reference};
  const World world{.edge = [](std::uint32_t) { return 1.5; }};
  for (std::uint32_t row = 0; row < 40; ++row)
    policy->observe({.row = row, .link = state.link, .measured = world.run(*table, row, state)});
  double sum = 0;
  int unseen = 0;
  for (double ms = 5; ms < 800; ms += 1) {
    const Decision got = policy->decide({.deadline = milliseconds(ms)}, state);
    if (got.row < 40)
      continue;
    sum += got.prediction.latency.edge_compute / table->rows[got.row].ingredients.edge_compute;
    ++unseen;
  }
  ASSERT_GT(unseen, 0);
  EXPECT_NEAR(sum / unseen, 1.5, 0.2);
}

TEST(Learning, OneOutlierDoesNotCondemnARow) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  const Seconds deadline = milliseconds(90);
  EXPECT_EQ(late(*policy, {}, deadline, 30), 0);
  const LiveState state{.link = table->reference};
  const World stalled{.edge = [](std::uint32_t) { return 30.0; }};
  policy->observe({.row = 1, .link = state.link, .measured = stalled.run(*table, 1, state)});
  policy->observe({.row = 1, .link = state.link, .measured = World{}.run(*table, 1, state)});
  EXPECT_EQ(policy->decide({.deadline = deadline}, state).row, 1u);
}

TEST(Learning, ARowThatIsNoLongerPickedIsForgottenInTime) {
  const auto table = three_rows();
  PolicyOptions options;
  options.learning.half_life = options.learning.row_half_life = 50;
  const auto policy = std::move(*make_policy("cleave", table, options));
  const Seconds deadline = milliseconds(90);
  bool broken = true;
  const World world{.edge = [&](std::uint32_t row) { return broken && row == 1 ? 3.0 : 1.0; }};
  late(*policy, world, deadline, 5);
  const LiveState state{.link = table->reference};
  EXPECT_EQ(policy->decide({.deadline = deadline}, state).row, 2u);
  broken = false;
  late(*policy, world, deadline, 300);
  EXPECT_EQ(policy->decide({.deadline = deadline}, state).row, 1u);
}

// Row 1 is slow, and dearer for it than row 2, and gets better later.
TEST(Learning, ARowIsTriedAgainWhereThereIsTimeForIt) {
  const auto table = three_rows();
  const LiveState state{.link = table->reference};
  bool broken = true;
  const World world{.edge = [&](std::uint32_t row) { return broken && row == 1 ? 8.0 : 1.0; }};
  for (const bool explore : {true, false}) {
    broken = true;
    PolicyOptions options;
    options.learning.half_life = 50;
    options.learning.row_half_life = 1e9;  // it does not come back by being forgotten
    options.learning.explore = explore;
    const auto policy = std::move(*make_policy("cleave", table, options));
    const auto decide = [&](Seconds deadline) {
      return policy->decide({.deadline = deadline}, state);
    };
    late(*policy, world, Seconds(1), 150);  // until the first surprise is no part of the bound
    ASSERT_EQ(decide(Seconds(1)).row, 2u);
    // Once in a while, and never where it would be late for what it took.
    int tried = 0;
    for (int i = 0; i < 500; ++i) {
      const Seconds deadline = milliseconds(i % 2 == 0 ? 150 : 1000);
      const Decision got = decide(deadline);
      EXPECT_EQ(got.reason, got.row == 1 ? Reason::exploring : Reason::least_energy);
      const LatencyParts took = world.run(*table, got.row, state);
      EXPECT_LE(took.total(), deadline);
      tried += got.row == 1 ? 1 : 0;
      policy->observe({.row = got.row, .link = state.link, .measured = took});
    }
    EXPECT_EQ(tried, explore ? 10 : 0);
    broken = false;
    EXPECT_EQ(late(*policy, world, Seconds(1), 100), 0);
    EXPECT_EQ(decide(Seconds(1)).row, explore ? 1u : 2u);
  }
}

// Row 1 alone is in time for short deadlines, but is slow for a while.
TEST(Learning, ARequestThatIsLateAnywayLooksWhetherASlowRowHasGotBetter) {
  ParetoTable slower = *three_rows();
  slower.rows[2].ingredients.edge_compute = milliseconds(60);
  const auto table = share(std::move(slower));
  const LiveState state{.link = table->reference};
  for (const bool explore : {true, false}) {
    PolicyOptions options;
    options.learning.half_life = 80;
    options.learning.row_half_life = 1e9;
    options.learning.explore = explore;
    const auto policy = std::move(*make_policy("cleave", table, options));
    bool broken = true;
    int turn = 0;
    const World world{.edge = [&](std::uint32_t row) {
      return broken && row == 1 ? 8.0 : row == 2 && turn % 2 == 0 ? 1.2 : 1.0;
    }};
    const auto serve = [&](Seconds deadline) {
      const Decision got = policy->decide({.deadline = deadline}, state);
      ++turn;
      policy->observe(
          {.row = got.row, .link = state.link, .measured = world.run(*table, got.row, state)});
      return got;
    };
    const auto tries = [&](Seconds deadline, int requests) {
      int tried = 0;
      for (int i = 0; i < requests; ++i) {
        const Decision got = serve(deadline);
        EXPECT_EQ(got.reason, got.row == 1 ? Reason::exploring : Reason::fastest);
        EXPECT_FALSE(got.meets_deadline);
        tried += got.row == 1 ? 1 : 0;
      }
      return tried;
    };
    const Seconds brief = milliseconds(100);
    for (int i = 0; i < 200; ++i) serve(milliseconds(160));  // what each takes is known
    ASSERT_EQ(policy->decide({.deadline = milliseconds(10)}, state).row, 2u);
    // After every ten requests of others.
    EXPECT_NEAR(tries(brief, 220), explore ? 20 : 0, 1);
    // Not where it would be late even if it were what it was, nor where another may be in time.
    const Decision other = policy->decide({.deadline = milliseconds(10)}, state);
    ASSERT_GT(other.bound, other.latency * 1.02);
    EXPECT_EQ(tries(milliseconds(30), 40), 0);
    for (int i = 0; i < 40; ++i)
      EXPECT_EQ(policy->decide({.deadline = other.latency * 1.02}, state).row, 2u);
    broken = false;
    int back = 0;
    while (back < 100 && serve(brief).reason != Reason::least_energy) ++back;
    EXPECT_EQ(back < 100, explore) << back;
  }
}

// More urgent streams want the edge back soon, and no row is short enough for them.
TEST(Learning, NobodyLooksAtTheCostOfMoreUrgentStreams) {
  ParetoTable slower = *three_rows();
  slower.rows[2].ingredients.edge_compute = milliseconds(60);
  const auto table = share(std::move(slower));
  PolicyOptions options;
  options.learning.half_life = 80;
  options.learning.row_half_life = 1e9;
  const auto policy = std::move(*make_policy("cleave", table, options));
  const World world{.edge = [](std::uint32_t row) { return row == 1 ? 8.0 : 1.0; }};
  late(*policy, world, milliseconds(160), 200);
  LiveState state{.link = table->reference};
  const Request request{.deadline = milliseconds(100)};
  const Decision look = policy->decide(request, state);
  ASSERT_EQ(look.row, 1u);
  ASSERT_EQ(look.reason, Reason::exploring);
  state.edge_limit = milliseconds(10);
  const Decision got = policy->decide(request, state);
  EXPECT_EQ(got.row, 2u);
  EXPECT_EQ(got.reason, Reason::fastest);
  EXPECT_LT(got.edge_hold * 2, look.edge_hold);
}

// Nine rows that nobody can run, and that would be faster.
TEST(Learning, RowsOfACloudThatIsAwayDoNotKeepAnEdgeRowFromBeingLookedAt) {
  ParetoTable made = random_table(12, 4);
  for (std::size_t i = 0; i < 12; ++i) {
    table::Ingredients& in = made.rows[i].ingredients;
    const bool edge = i == 0 || i == 11;
    in = made.rows[edge ? 0 : 1].ingredients;
    in.edge_compute = milliseconds(i == 0 ? 60 : i == 11 ? 120 : 5);
    in.cloud_compute = milliseconds(edge ? 0 : 5);
    in.up = core::Bytes(edge ? 0 : 10e3);
    in.spread = 0.03;
    made.rows[i].configuration.stages[0].levels = {static_cast<core::LevelIndex>(edge ? i / 11 : 2),
                                                   0};
    made.rows[i].configuration.stages[1].levels = {1};
  }
  const auto table = share(std::move(made));
  const auto policy = policy_of(table);
  LiveState state{.link = table->reference};
  const World world{.edge = [](std::uint32_t row) { return row == 1 || row == 11 ? 1.0 : 6.0; }};
  const auto observe = [&](std::uint32_t row) {
    policy->observe({.row = row, .link = state.link, .measured = world.run(*table, row, state)});
  };
  for (int round = 0; round < 5; ++round)
    for (std::uint32_t row = 0; row < 11; ++row) {
      observe(row);
      observe(1);  // what they share is right
    }
  for (int i = 0; i < 60; ++i) observe(11);
  state.cloud_reachable = false;
  const Decision got = policy->decide({.deadline = milliseconds(100)}, state);
  EXPECT_EQ(got.row, 0u);
  EXPECT_EQ(got.reason, Reason::exploring);
}

// What became of it is not known: it has had its turn all the same.
TEST(Learning, ATryThatFailsIsNotRepeatedAtOnce) {
  const auto table = three_rows();
  PolicyOptions options;
  options.learning.half_life = 50;
  const auto policy = std::move(*make_policy("cleave", table, options));
  const LiveState state{.link = table->reference};
  late(*policy, {.edge = [](std::uint32_t row) { return row == 1 ? 8.0 : 1.0; }}, Seconds(1), 80);
  Decision got;
  for (int i = 0; i < 60 && got.reason != Reason::exploring; ++i) {
    got = policy->decide({.deadline = Seconds(1)}, state);
    if (got.row == 2)
      policy->observe({.row = 2, .link = state.link, .measured = World{}.run(*table, 2, state)});
  }
  ASSERT_EQ(got.reason, Reason::exploring);
  policy->observe({.row = 1, .link = state.link, .completed = false});
  EXPECT_EQ(policy->decide({.deadline = Seconds(1)}, state).row, 2u);
}

// The meter counts 1.4 times what the watts of the table say, whatever the times are.
TEST(Learning, ThePowerOfASettingIsLearntFromAMeterApartFromItsTimes) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  const LiveState state{.link = table->reference};
  const World world{.edge = [](std::uint32_t) { return 2.0; }};
  const LatencyParts took = world.run(*table, 1, state);
  const table::Ingredients& in = table->rows[1].ingredients;
  const Seconds busy = took.edge_compute + in.encode_first + in.encode_rest;
  const core::Joules modelled = in.edge_busy * busy + in.edge_idle * (took.total() - busy) +
                                in.transmit * in.up + in.receive * in.down;
  const core::Energy metered{modelled * 1.4, core::Boundary::edge, core::Origin::measured};
  const Request request{.accuracy_floor = frugal_accuracy};
  const Decision before = policy->decide(request, state);
  // What no meter counted, or somebody else's joules, is nothing to learn from.
  for (const core::Energy& other :
       {core::Energy{modelled * 9.0, core::Boundary::edge, core::Origin::modelled},
        core::Energy{modelled * 9.0, core::Boundary::edge_cloud_device, core::Origin::measured}}) {
    const auto another = policy_of(table), plain = policy_of(table);
    another->observe(
        {.row = 1, .link = state.link, .measured = took, .energy = {{other, modelled}}});
    plain->observe({.row = 1, .link = state.link, .measured = took});
    EXPECT_EQ(another->decide(request, state).edge_energy,
              plain->decide(request, state).edge_energy);
  }
  for (int i = 0; i < 20; ++i)
    policy->observe(
        {.row = 1, .link = state.link, .measured = took, .energy = {{metered, modelled}}});
  const Decision after = policy->decide(request, state);
  ASSERT_EQ(after.row, 1u);
  EXPECT_NEAR(after.edge_energy / metered.joules, 1, 0.03);
  EXPECT_GT(after.energy, before.energy);
  // The same setting, another row: its power is known, too, and its times are learnt as ever.
  const Decision neighbour = policy->decide({.deadline = milliseconds(100)}, state);
  ASSERT_EQ(neighbour.row, 2u);
  EXPECT_NEAR(neighbour.prediction.energy.radio.count() /
                  (in.transmit * in.up + in.receive * in.down).count(),
              1.4, 0.04);
  // Another setting: somewhat.
  const Decision edge = policy->decide({}, {.link = state.link, .cloud_reachable = false});
  const double other =
      edge.prediction.energy.edge_compute.count() /
      (table->rows[0].ingredients.edge_busy * edge.prediction.latency.edge_compute).count();
  EXPECT_GT(other, 1.1);
  EXPECT_LT(other, 1.35);
  // It is kept with the rest.
  const auto later = policy_of(table);
  ASSERT_TRUE(later->restore(policy->learnt()));
  EXPECT_EQ(later->decide(request, state).edge_energy, after.edge_energy);
}

// Format 1, of a cleave that learnt nothing of power.
TEST(Learning, WhatAnOlderCleaveLearntIsReadOn) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  late(*policy, {.edge = [](std::uint32_t) { return 1.3; }}, milliseconds(90), 30);
  auto bytes = policy->learnt();
  // Without the last beliefs: of all settings' power, a count, and of two settings.
  bytes.resize(bytes.size() - 16 - 4 - 2 * 16);
  const std::uint32_t version = 1;
  std::memcpy(bytes.data() + 8, &version, sizeof version);
  const std::uint64_t sum = core::hash_bytes(std::span(bytes).subspan(20));
  std::memcpy(bytes.data() + 12, &sum, sizeof sum);
  const auto later = policy_of(table);
  ASSERT_TRUE(later->restore(bytes));
  EXPECT_EQ(later->learnt(), policy->learnt());
}

TEST(Learning, StaysWithinItsBounds) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  const LiveState state{.link = table->reference};
  const World absurd{.edge = [](std::uint32_t) { return 1e6; },
                     .move = [](std::uint32_t) { return 1e-6; }};
  for (int i = 0; i < 200; ++i)
    policy->observe({.row = 1, .link = state.link, .measured = absurd.run(*table, 1, state)});
  for (double ms = 1; ms < 2000; ms *= 1.2) {
    const Decision got = policy->decide({.deadline = milliseconds(ms)}, state);
    const auto plain = table::compose(table->rows[got.row].ingredients, state.link, {}).latency;
    EXPECT_LE(got.prediction.latency.edge_compute.count(), plain.edge_compute.count() * 8.0001);
    EXPECT_GE(got.prediction.latency.transfer.count(), plain.transfer.count() / 8.0001);
  }
}

TEST(Learning, IgnoresWhatDidNotRunAsDecidedOrMakesNoSense) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  const LiveState state{.link = table->reference};
  const Decision before = policy->decide({.deadline = milliseconds(90)}, state);
  World slow{.edge = [](std::uint32_t) { return 5.0; }};
  policy->observe(
      {.row = 1, .link = state.link, .measured = slow.run(*table, 1, state), .completed = false});
  policy->observe({.row = 1, .link = state.link, .measured = {}});
  LatencyParts nonsense;
  nonsense.edge_compute = Seconds(std::nan(""));
  nonsense.cloud_compute = Seconds(-1);
  nonsense.transfer = Seconds(std::numeric_limits<double>::infinity());
  policy->observe({.row = 1, .link = state.link, .measured = nonsense});
  policy->observe({.row = 12345, .link = state.link, .measured = {}});
  const Decision after = policy->decide({.deadline = milliseconds(90)}, state);
  EXPECT_EQ(after.row, before.row);
  EXPECT_EQ(after.prediction.latency, before.prediction.latency);
}

TEST(Learning, NoisyLatenciesWidenTheBound) {
  const auto table = three_rows();
  const LiveState state{.link = table->reference};
  const auto bound_over_latency = [&](double jitter) {
    const auto policy = policy_of(table);
    for (int i = 0; i < 60; ++i) {
      const double sign = i % 2 == 0 ? 1 : -1;
      const World world{.edge = [&](std::uint32_t) { return 1 + sign * jitter; },
                        .move = [&](std::uint32_t) { return 1 + sign * jitter; },
                        .cloud = [&](std::uint32_t) { return 1 + sign * jitter; }};
      policy->observe({.row = 1, .link = state.link, .measured = world.run(*table, 1, state)});
    }
    const Decision got = policy->decide({.deadline = Seconds(1)}, state);
    EXPECT_EQ(got.row, 1u);
    return got.bound / got.latency;
  };
  EXPECT_LT(bound_over_latency(0.01), 1.05);
  EXPECT_GT(bound_over_latency(0.15), 1.12);
}

TEST(Learning, ObservingTakesTheNewLinkInOnceDecideHasMetIt) {
  const auto table = share(random_table(200, 31));
  const auto policy = policy_of(table);
  EXPECT_EQ(late(*policy, {}, Seconds(10), 5, 2), 0);
  // Nothing to see from outside but that the picks stay right.
  const LiveState state{
      .link = {table->reference.round_trip, core::megabits_per_second(2), table->reference.down}};
  const Decision got = policy->decide({.deadline = milliseconds(250)}, state);
  EXPECT_TRUE(got.meets_deadline);
}

TEST(Learning, GoesOnFromWhatAnotherPolicyLearnt) {
  const auto table = three_rows();
  const World world{.edge = [](std::uint32_t row) { return row == 1 ? 3.0 : 1.1; },
                    .move = [](std::uint32_t) { return 0.8; }};
  const auto learning = policy_of(table);
  late(*learning, world, milliseconds(90), 60);
  const auto bytes = learning->learnt();
  const auto later = policy_of(table);
  ASSERT_TRUE(later->restore(bytes));
  EXPECT_EQ(later->learnt(), bytes);
  // From here on both see the same and decide the same.
  LiveState state{.link = table->reference};
  for (const double deadline : {20.0, 60.0, 90.0, 120.0, 400.0})
    for (int i = 0; i < 10; ++i) {
      const Request request{.deadline = milliseconds(deadline)};
      const Decision a = learning->decide(request, state), b = later->decide(request, state);
      EXPECT_EQ(a.row, b.row);
      EXPECT_EQ(a.bound, b.bound);
      EXPECT_EQ(a.energy, b.energy);
      const LatencyParts took = world.run(*table, a.row, state);
      for (Policy* policy : {learning.get(), later.get()})
        policy->observe({.row = a.row, .link = state.link, .measured = took});
    }
  EXPECT_EQ(later->learnt(), learning->learnt());
}

TEST(Learning, WhatWasLearntIsOfItsTableAndWhole) {
  const auto table = three_rows();
  const auto policy = policy_of(table);
  late(*policy, {}, milliseconds(90), 10);
  const auto bytes = policy->learnt();
  EXPECT_EQ(policy_of(share(random_table(3, 9)))->restore(bytes).error().code,
            core::Errc::mismatch);
  EXPECT_EQ(policy_of(table, false)->restore(bytes).error().code, core::Errc::unsupported);
  EXPECT_TRUE(policy_of(table, false)->learnt().empty());
  const auto untouched = policy_of(table);
  const auto before = untouched->learnt();
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(untouched->restore(std::span(bytes).first(size)).error().code, core::Errc::corrupt);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] ^= std::byte{0x10};
    EXPECT_FALSE(untouched->restore(damaged)) << i;
    // And with a checksum that fits: an error, or something that can have been learnt.
    core::ByteReader head(damaged);
    (void)head.take(20);
    const std::uint64_t sum = core::hash_bytes(head.rest());
    std::memcpy(damaged.data() + 12, &sum, sizeof sum);
    const auto other = policy_of(table);
    if (other->restore(damaged)) {
      const Decision got =
          other->decide({.deadline = milliseconds(90)}, {.link = table->reference});
      EXPECT_TRUE(std::isfinite(got.bound.count()));
    }
  }
  EXPECT_EQ(untouched->learnt(), before);
}

}  // namespace
}  // namespace cleave
