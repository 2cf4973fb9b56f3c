#include "tests/scheduler/brute_force.hpp"
#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::make_policy;
using scheduler::no_row;
using scheduler::OnMiss;
using scheduler::Policy;
using scheduler::PolicyOptions;
using scheduler::Reason;
using scheduler::Request;
using table::ParetoTable;
using table::TableRow;
using test::brute_force;
using test::Dice;
using test::random_table;
using test::share;
using test::Want;

constexpr double z95 = 1.6448536269514722;  // standard normal, 95 %

std::unique_ptr<Policy> policy_of(std::shared_ptr<const ParetoTable> table,
                                  const PolicyOptions& options = {},
                                  std::string_view name = "cleave") {
  auto made = make_policy(name, std::move(table), options);
  EXPECT_TRUE(made.has_value()) << made.error().message();
  return std::move(*made);
}

void expect_same(const Decision& got, const Want& want) {
  ASSERT_EQ(got.row, want.row);
  EXPECT_EQ(got.reason, want.reason);
  if (want.row == no_row)
    return;
  EXPECT_EQ(got.meets_deadline, want.reason == Reason::least_energy);
  EXPECT_NEAR(got.latency.count(), want.latency, 1e-9 * want.latency);
  EXPECT_NEAR(got.bound.count(), want.bound, 1e-9 * want.bound);
  // How long a head keeps the edge is kept in single precision.
  EXPECT_NEAR(got.hedging.count(), want.hedging, 1e-6 * want.hedging);
  const double energy = got.hedging > core::Joules() ? 1e-6 : 1e-9;
  EXPECT_NEAR(got.energy.count(), want.energy, energy * want.energy);
  EXPECT_NEAR(got.edge_energy.count(), want.edge_energy, energy * want.edge_energy);
  EXPECT_NEAR((got.prediction.latency.total() + got.switching + got.edge_wait).count(),
              want.latency, 1e-9 * want.latency);
}

TEST(Cleave, DecidesAsABruteForceWould) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Dice dice(seed * 77);
    ParetoTable made = random_table(1 + dice.below(300), seed);
    made.boundary = static_cast<core::Boundary>(dice.below(3));
    const auto table = share(std::move(made));
    PolicyOptions options;
    options.confidence = dice.chance(0.5) ? 0.95 : 0.5;
    options.on_miss = dice.chance(0.8) ? OnMiss::fastest : OnMiss::refuse;
    options.hedged = dice.chance(0.5);
    const auto tails =
        options.hedged ? table::local_tails(*table) : std::vector<table::LocalTail>();
    const double z = options.confidence == 0.95 ? z95 : 0;
    options.link_tolerance = 0;
    const auto policy = policy_of(table, options);
    table::LinkState composed_for = table->reference;
    for (int i = 0; i < 60; ++i) {
      LiveState state;
      // As composed beforehand, re-composed, or composed while deciding.
      state.link = table->reference;
      if (i >= 20) {
        state.link = {milliseconds(dice.between(1, 100)),
                      core::megabits_per_second(dice.between(0.5, 200)),
                      core::megabits_per_second(dice.between(0.5, 200))};
        if (i >= 40) {
          policy->refresh(state.link);
          composed_for = state.link;
        }
      }
      state.cloud_reachable = dice.chance(0.8);
      state.queue = dice.chance(0.5) ? Seconds() : milliseconds(dice.between(0, 200));
      const std::vector<core::LevelIndex> edge = {static_cast<core::LevelIndex>(dice.below(4)),
                                                  static_cast<core::LevelIndex>(dice.below(2))};
      const std::vector<core::LevelIndex> cloud = {static_cast<core::LevelIndex>(dice.below(2))};
      if (dice.chance(0.7))
        state.edge_levels = edge;
      if (dice.chance(0.7))
        state.cloud_levels = cloud;
      if (dice.chance(0.4))
        state.edge_wait = milliseconds(dice.between(0, 200));
      if (dice.chance(0.3))
        state.edge_limit = milliseconds(dice.between(0, 200));
      if (dice.chance(0.5))
        state.energy = {core::Joules(dice.between(0, 3)), dice.between(0, 1)};
      Request request;
      request.deadline = dice.chance(0.1) ? Seconds(std::numeric_limits<double>::infinity())
                                          : milliseconds(dice.between(1, 500));
      request.elapsed = dice.chance(0.3) ? milliseconds(dice.between(0, 20)) : Seconds();
      request.accuracy_floor = dice.chance(0.3) ? dice.between(0.8, 0.97) : 0;
      expect_same(policy->decide(request, state),
                  brute_force(*table, request, state, z, composed_for,
                              options.on_miss == OnMiss::refuse, tails));
    }
  }
}

// Nothing that is at least as good in everything, and better in something.
TEST(Cleave, NeverPicksADominatedRow) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const auto table = share(random_table(150, seed));
    PolicyOptions options;
    options.learning.enabled = false;
    const auto policy = policy_of(table, options);
    const auto cost_of = [&](const TableRow& row) {
      const auto made = table::compose(row.ingredients, table->reference, {});
      const Seconds latency = made.latency.total();
      return std::array{latency.count(), latency.count() * (1 + z95 * row.ingredients.spread),
                        made.energy.total(table->boundary).count(),
                        -row.ingredients.accuracy.value};
    };
    for (double ms = 1; ms < 600; ms *= 1.1) {
      const Decision got =
          policy->decide({.deadline = milliseconds(ms)}, {.link = table->reference});
      const auto picked = cost_of(table->rows[got.row]);
      for (const TableRow& row : table->rows) {
        const auto other = cost_of(row);
        bool dominates = other != picked;
        for (std::size_t i = 0; i < picked.size(); ++i) dominates &= other[i] <= picked[i];
        EXPECT_FALSE(dominates) << "seed " << seed << ", " << ms << " ms";
      }
    }
  }
}

// What rows take varies as the table says, and never by more than three standard deviations.
TEST(Cleave, NeverMissesWhereARowIsInTimeAndTheModelIsRight) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Dice dice(seed);
    const auto table = share(random_table(150, seed));
    PolicyOptions options;
    options.confidence = 0.9987;  // three standard deviations: 0.99865
    options.learning.enabled = false;
    const auto policy = policy_of(table, options);
    for (int i = 0; i < 300; ++i) {
      const Seconds deadline = milliseconds(dice.between(5, 500));
      const LiveState state{.link = table->reference, .queue = milliseconds(dice.between(0, 50))};
      bool feasible = false;
      for (const TableRow& row : table->rows) {
        const Seconds latency =
            table::compose(row.ingredients, state.link, state.queue).latency.total();
        feasible |= latency * (1 + 3.02 * row.ingredients.spread) <= deadline;
      }
      const Decision got = policy->decide({.deadline = deadline}, state);
      EXPECT_TRUE(got.meets_deadline || !feasible);
      const double off = table->rows[got.row].ingredients.spread * dice.between(-3, 3);
      if (feasible) {
        EXPECT_LE((got.latency * (1 + off)).count(), deadline.count());
      }
    }
  }
}

// With the cloud the edge begins beside it at the last moment; what that takes is a row's cost.
TEST(Cleave, WhatTheEdgeDoesBesideTheCloudCounts) {
  ParetoTable made = random_table(2, 1);
  table::Ingredients& edge = made.rows[0].ingredients;
  edge.edge_compute = milliseconds(100);
  edge.edge_busy = core::Watts(5);
  made.rows[1].ingredients.up = core::Bytes(1000);
  made.rows[1].ingredients.encode_first = made.rows[1].ingredients.encode_rest = Seconds();
  made.rows[1].ingredients.edge_idle = core::Watts(1);
  made.rows[1].ingredients.cloud_device = made.rows[1].ingredients.cloud_machine = core::Watts(0);
  made.rows[0].configuration.stages[0].levels = made.rows[1].configuration.stages[0].levels;
  const auto table = share(std::move(made));
  const LiveState state{.link = table->reference};
  const Seconds reply = policy_of(table)->decide({.deadline = Seconds(10)}, state).latency;
  PolicyOptions options;
  options.hedged = true;
  options.confidence = 0.5;
  const auto policy = policy_of(table, options);
  // The reply is there before the edge would begin.
  const Decision plain = policy->decide({.deadline = milliseconds(101) + reply}, state);
  EXPECT_EQ(plain.row, 1u);
  EXPECT_EQ(plain.hedging, core::Joules());
  // 10 ms later.
  const Decision hedged = policy->decide({.deadline = milliseconds(90) + reply}, state);
  EXPECT_EQ(hedged.row, 1u);
  EXPECT_NEAR(hedged.hedging.count(), 0.010 * (5 - 1), 1e-9);
  EXPECT_NEAR((hedged.energy - plain.energy).count(), hedged.hedging.count(), 1e-12);
  // No budget refuses for it.
  EXPECT_EQ(hedged.edge_energy, plain.edge_energy);
  LiveState poor = state;
  poor.energy.available = 1.01 * plain.edge_energy;
  EXPECT_EQ(policy->decide({.deadline = milliseconds(90) + reply}, poor).row, 1u);
  EXPECT_NE(policy->explain({.deadline = milliseconds(90) + reply}, state, hedged)
                .find("(0.04 of them beside the cloud)"),
            std::string::npos);
  // Also of a row that is passed over.
  ParetoTable unsteady = *table;
  unsteady.rows[0].ingredients.spread = 0;
  unsteady.rows[1].ingredients.spread = 10;
  PolicyOptions surer = options;
  surer.confidence = 0.99;
  const auto careful = policy_of(share(std::move(unsteady)), surer);
  const Request request{.deadline = milliseconds(90) + reply};
  const Decision passed = careful->decide(request, state);
  EXPECT_EQ(passed.row, 0u);
  std::array<char, 64> late_row{};
  std::snprintf(late_row.data(), late_row.size(), "too late: 1, the cheapest row 1 with %.3g J",
                hedged.energy.count());
  EXPECT_NE(careful->explain(request, state, passed).find(late_row.data()), std::string::npos)
      << careful->explain(request, state, passed);
  // The edge could not make it alone: it does not begin.
  const Decision alone = policy->decide({.deadline = milliseconds(99)}, state);
  EXPECT_EQ(alone.row, 1u);
  EXPECT_EQ(alone.hedging, core::Joules());

  // Nor if the moment is over when all is sent.
  ParetoTable large = *table;
  large.rows[1].ingredients.encode_rest = milliseconds(5);
  const Seconds between = milliseconds(101);
  ASSERT_LT(between, reply + milliseconds(90));
  EXPECT_GT(policy->decide({.deadline = between}, state).hedging, core::Joules());
  const Decision late =
      policy_of(share(std::move(large)), options)->decide({.deadline = between}, state);
  EXPECT_EQ(late.row, 1u);
  EXPECT_EQ(late.hedging, core::Joules());

  // What was learnt of the edge's time and power counts: 120 ms, and twice the watts.
  table::LatencyParts slow;
  slow.edge_compute = milliseconds(120);
  const core::Energy counted{core::Joules(1.2), core::Boundary::edge, core::Origin::measured};
  for (int i = 0; i < 2000; ++i)
    policy->observe({.row = 0,
                     .link = table->reference,
                     .measured = slow,
                     .energy = scheduler::MeteredEnergy{counted, core::Joules(0.6)}});
  const Decision learnt = policy->decide({.deadline = milliseconds(110) + reply}, state);
  EXPECT_EQ(learnt.row, 1u);
  EXPECT_NEAR(learnt.hedging.count(), 0.010 * 2 * (5 - 1), 0.01 * 0.08);
  const Decision in_time = policy->decide({.deadline = milliseconds(121) + reply}, state);
  EXPECT_EQ(in_time.hedging, core::Joules());

  // Where the edge would work beside the cloud for as long as it takes to do everything, it may as
  // well do so.
  ParetoTable frugal = *table;
  frugal.rows[0].ingredients.edge_busy = core::Watts(2);
  frugal.rows[1].ingredients.edge_idle = core::Watts(1.5);
  frugal.rows[1].ingredients.cloud_compute += milliseconds(106) - reply;
  const auto other = share(std::move(frugal));
  const Request tight{.deadline = milliseconds(112)};
  EXPECT_EQ(policy_of(other, options)->decide(tight, state).row, 0u);
  options.hedged = false;
  EXPECT_EQ(policy_of(other, options)->decide(tight, state).row, 1u);
}

TEST(Cleave, TheEdgesOwnTimeIsWhatItWasLearntToBe) {
  ParetoTable made = random_table(2, 1);
  made.rows[0].configuration.stages[0].levels = {3, 1};
  made.rows[1].configuration.stages[0].levels = {0, 1};
  const auto table = share(std::move(made));
  const auto policy = policy_of(table);
  const auto tail = table::local_tails(*table)[1];
  ASSERT_EQ(tail.like, 0u);
  EXPECT_EQ(tail.switching, milliseconds(3));
  EXPECT_EQ(policy->expected(tail), tail.time());
  table::LatencyParts slow;
  slow.edge_compute = 2.0 * table->rows[0].ingredients.edge_compute;
  for (int i = 0; i < 200; ++i)
    policy->observe({.row = 0, .link = table->reference, .measured = slow});
  EXPECT_NEAR(policy->expected(tail) / (2.0 * tail.compute + tail.switching), 1, 0.05);
}

TEST(Cleave, ABusyEdgeMovesWorkToTheCloud) {
  ParetoTable made = random_table(2, 1);
  made.rows[0].ingredients.edge_compute = milliseconds(30);  // all-edge, frugal
  made.rows[0].ingredients.edge_busy = core::Watts(3);
  made.rows[1].ingredients.up = core::Bytes(1000);  // all-cloud, dearer
  made.rows[1].ingredients.cloud_device = core::Watts(300);
  const auto table = share(std::move(made));
  const auto policy = policy_of(table);
  const Request request{.deadline = milliseconds(150)};
  LiveState state{.link = table->reference};
  const Decision idle = policy->decide(request, state);
  EXPECT_EQ(idle.row, 0u);
  state.edge_wait = milliseconds(140);
  const Decision busy = policy->decide(request, state);
  EXPECT_EQ(busy.row, 1u);
  EXPECT_EQ(busy.edge_wait, Seconds());
  // It waits for as long as it can.
  state.edge_wait = milliseconds(90);
  const Decision waits = policy->decide(request, state);
  EXPECT_EQ(waits.row, 0u);
  EXPECT_NEAR((waits.latency - idle.latency).count(), 0.09, 1e-12);
  EXPECT_EQ(waits.energy, idle.energy);
  // Nor does it keep the edge from others.
  state.edge_wait = {};
  state.edge_limit = milliseconds(20);
  EXPECT_EQ(policy->decide(request, state).row, 1u);
  state.cloud_reachable = false;
  EXPECT_EQ(policy->decide(request, state).row, 0u);
}

TEST(Cleave, UsesRowsComposedForALinkWithinTheTolerance) {
  const auto table = share(random_table(200, 5));
  PolicyOptions options;
  options.link_tolerance = 0.05;
  const auto policy = policy_of(table, options);
  LiveState state{.link = table->reference};
  state.link.up = state.link.up * 1.04;
  const Request request{.deadline = milliseconds(60)};
  // The pick is that of the reference link, its prediction that of the link given.
  const Decision got = policy->decide(request, state);
  const Want want = brute_force(*table, request, {.link = table->reference}, z95, table->reference);
  EXPECT_EQ(got.row, want.row);
  EXPECT_EQ(got.prediction.latency,
            table::compose(table->rows[got.row].ingredients, state.link, {}).latency);
}

TEST(Cleave, PicksOnlyAllEdgeRowsWithoutACloud) {
  const auto table = share(random_table(300, 9));
  const auto policy = policy_of(table);
  for (int ms = 1; ms < 400; ms += 7) {
    const Decision got = policy->decide({.deadline = milliseconds(ms)},
                                        {.link = table->reference, .cloud_reachable = false});
    EXPECT_FALSE(table->rows[got.row].ingredients.uses_cloud);
  }
}

TEST(Cleave, RefusesInsteadOfBeingLateIfAskedTo) {
  const auto table = share(random_table(50, 3));
  PolicyOptions options;
  options.on_miss = OnMiss::refuse;
  const auto policy = policy_of(table, options);
  const LiveState state{.link = table->reference};
  const Decision late = policy->decide({.deadline = milliseconds(0.01)}, state);
  EXPECT_EQ(late.row, no_row);
  EXPECT_EQ(late.reason, Reason::refused);
  EXPECT_NE(policy->decide({.deadline = Seconds(10)}, state).row, no_row);
}

TEST(Cleave, RefusesWhenNoRowIsAccurateEnough) {
  const auto table = share(random_table(50, 3));
  const auto policy = policy_of(table);
  const Decision got = policy->decide({.accuracy_floor = 0.999}, {.link = table->reference});
  EXPECT_EQ(got.row, no_row);
  EXPECT_EQ(got.reason, Reason::refused);
}

TEST(Cleave, WithoutALinkTheCloudIsNotPicked) {
  const auto table = share(random_table(50, 3));
  const auto policy = policy_of(table);
  const LiveState dead{
      .link = {milliseconds(10), core::BytesPerSecond(0), core::BytesPerSecond(0)}};
  for (const bool refreshed : {false, true}) {
    if (refreshed)
      policy->refresh(dead.link);
    for (const double ms : {1.0, 1000.0}) {
      const Decision got = policy->decide({.deadline = milliseconds(ms)}, dead);
      ASSERT_NE(got.row, no_row);
      EXPECT_FALSE(table->rows[got.row].ingredients.uses_cloud);
    }
  }
}

TEST(Cleave, MoreSlackNeverCostsMoreEnergy) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto table = share(random_table(200, seed));
    const auto policy = policy_of(table);
    double last = std::numeric_limits<double>::infinity();
    for (double ms = 1; ms < 600; ms *= 1.05) {
      const Decision got =
          policy->decide({.deadline = milliseconds(ms)}, {.link = table->reference});
      if (!got.meets_deadline)
        continue;
      EXPECT_LE(got.energy.count(), last);
      last = got.energy.count();
    }
  }
}

TEST(Cleave, AGrowingQueueMovesWorkToTheEdge) {
  ParetoTable made = random_table(2, 1);
  made.rows[0].ingredients.edge_compute = milliseconds(100);  // all-edge
  made.rows[0].ingredients.edge_busy = core::Watts(6);
  made.rows[1].ingredients.up = core::Bytes(1000);  // all-cloud, quick and frugal
  made.rows[1].ingredients.cloud_device = core::Watts(1);
  const auto table = share(std::move(made));
  const auto policy = policy_of(table);
  const Request request{.deadline = milliseconds(150)};
  LiveState state{.link = table->reference};
  EXPECT_EQ(policy->decide(request, state).row, 1u);
  state.queue = milliseconds(140);
  EXPECT_EQ(policy->decide(request, state).row, 0u);
}

// ---- the policies to compare with -----------------------------------------------------------

TEST(Baselines, AlwaysPickTheirRow) {
  const auto table = share(random_table(200, 21));
  const auto least = [&](auto allowed, auto key) {
    std::uint32_t best = no_row;
    for (std::uint32_t i = 0; i < table->rows.size(); ++i)
      if (allowed(table->rows[i]) &&
          (best == no_row || key(table->rows[i]) < key(table->rows[best])))
        best = i;
    return best;
  };
  const auto latency = [](const TableRow& r) { return r.latency; };
  const auto energy = [](const TableRow& r) { return r.energy; };
  const auto front = [](const TableRow& r) { return r.on_front; };
  const auto cloud = [](const TableRow& r) {
    return r.ingredients.uses_cloud && r.ingredients.edge_compute == Seconds();
  };
  const auto edge = [](const TableRow& r) { return !r.ingredients.uses_cloud; };
  const std::vector<std::pair<std::string_view, std::uint32_t>> wanted = {
      {"all-cloud", least(cloud, latency)},
      {"all-edge", least(edge, latency)},
      {"fastest", least(front, latency)},
      {"frugal", least(front, energy)}};
  for (const auto& [name, row] : wanted) {
    const auto policy = policy_of(table, {}, name);
    EXPECT_EQ(policy->name(), name);
    for (const double ms : {1.0, 50.0, 1000.0}) {
      const Decision got = policy->decide({.deadline = milliseconds(ms)},
                                          {.link = table->reference, .cloud_reachable = false});
      EXPECT_EQ(got.row, row) << name;
      EXPECT_EQ(got.reason, Reason::fixed);
      EXPECT_EQ(got.meets_deadline, table->rows[row].latency <= milliseconds(ms));
    }
  }
}

TEST(Baselines, DynaSplitTakesTheFirstOfTheFrontByEnergyThatIsInTime) {
  const auto table = share(random_table(200, 22));
  const auto policy = policy_of(table, {}, "dynasplit");
  for (double ms = 1; ms < 500; ms *= 1.1) {
    std::uint32_t want = no_row, fastest = no_row;
    for (std::uint32_t i = 0; i < table->rows.size(); ++i) {
      const TableRow& row = table->rows[i];
      if (!row.on_front)
        continue;
      if (fastest == no_row || row.latency < table->rows[fastest].latency)
        fastest = i;
      if (row.latency <= milliseconds(ms) &&
          (want == no_row || row.energy < table->rows[want].energy))
        want = i;
    }
    const Decision got = policy->decide({.deadline = milliseconds(ms)}, {});
    EXPECT_EQ(got.row, want == no_row ? fastest : want);
    EXPECT_EQ(got.meets_deadline, want != no_row);
  }
}

TEST(MakePolicy, KnowsItsNames) {
  const auto table = share(random_table(20, 2));
  std::set<std::string_view> names;
  for (const std::string_view name : scheduler::policy_names()) {
    EXPECT_TRUE(names.insert(name).second);
    EXPECT_EQ(policy_of(table, {}, name)->name(), name);
    EXPECT_EQ(&policy_of(table, {}, name)->table(), table.get());
  }
  const auto wrong = make_policy("best", table);
  ASSERT_FALSE(wrong.has_value());
  EXPECT_EQ(wrong.error().code, core::Errc::not_found);
  EXPECT_THAT(wrong.error().message(), testing::HasSubstr("cleave, all-cloud"));
}

TEST(MakePolicy, SaysWhatIsWrong) {
  const auto code = [](std::string_view name, ParetoTable table, const PolicyOptions& options) {
    const auto made = make_policy(name, share(std::move(table)), options);
    return made ? core::Errc::internal : made.error().code;
  };
  const ParetoTable good = random_table(20, 2);
  const auto invalid = core::Errc::invalid_argument;
  EXPECT_EQ(code("cleave", {}, {}), invalid);
  EXPECT_EQ(code("cleave", good, {.confidence = 1}), invalid);
  EXPECT_EQ(code("cleave", good, {.confidence = 0.2}), invalid);
  EXPECT_EQ(code("cleave", good, {.link_tolerance = -1}), invalid);
  EXPECT_EQ(code("cleave", good, {.learning = {.half_life = 0}}), invalid);
  ParetoTable levels = good;
  levels.rows[3].configuration.stages[0].levels = {7, 0};
  EXPECT_EQ(code("cleave", levels, {}), invalid);
  ParetoTable stages = good;
  stages.rows[3].configuration.stages.clear();
  EXPECT_EQ(code("fastest", stages, {}), invalid);
  ParetoTable no_cloud = good;
  for (TableRow& row : no_cloud.rows) row.ingredients.uses_cloud = false;
  EXPECT_EQ(code("all-cloud", no_cloud, {}), core::Errc::not_found);
  EXPECT_EQ(make_policy("cleave", nullptr).error().code, invalid);
}

TEST(KindOf, TellsWhereARowRuns) {
  const ParetoTable table = random_table(2, 1);
  EXPECT_EQ(scheduler::kind_of(table.rows[0]), table::DecisionKind::edge);
  EXPECT_EQ(scheduler::kind_of(table.rows[1]), table::DecisionKind::cloud);
  TableRow split = table.rows[1];
  split.ingredients.edge_compute = milliseconds(1);
  EXPECT_EQ(scheduler::kind_of(split), table::DecisionKind::split);
}

}  // namespace
}  // namespace cleave
