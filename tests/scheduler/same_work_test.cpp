// Two codecs of one cut: head and tail are the same, and so is what is wrong with them.
#include "scheduler/corrections.hpp"
#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Corrections;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::Request;
using table::ParetoTable;

class SameWork : public testing::Test {
 protected:
  // Row 0 is all-edge. Rows 1 and 2 compute the same, of which row 2 sends more; row 3 takes as
  // long for another part of the network.
  SameWork() : table(test::random_table(4, 4)) {
    table.rows[0].ingredients.edge_compute = Seconds(0.3);
    table.rows[0].ingredients.edge_busy = core::Watts(30);
    auto& first = table.rows[1].ingredients;
    first.edge_compute = milliseconds(20);
    first.cloud_compute = milliseconds(10);
    first.up = core::Bytes(50e3);
    first.spread = 0.03;
    const core::Stage other_head = table.rows[3].configuration.stages[0];
    table.rows[2] = table.rows[3] = table.rows[1];
    table.rows[2].configuration.codecs = {"other"};
    table.rows[2].ingredients.up = core::Bytes(75e3);
    table.rows[3].configuration.stages[0].end = other_head.end;
  }

  [[nodiscard]] table::LatencyParts predicted(std::uint32_t row) const {
    return table::compose(table.rows[row].ingredients, table.reference, {}).latency;
  }
  [[nodiscard]] table::LatencyParts measured(std::uint32_t row, double slower) const {
    table::LatencyParts took = predicted(row);
    took.edge_compute = slower * took.edge_compute;
    took.cloud_compute = slower * took.cloud_compute;
    return took;
  }
  void run(Corrections& corrections, std::uint32_t row, double slower, int times) const {
    for (int i = 0; i < times; ++i) corrections.observe(row, predicted(row), measured(row, slower));
  }

  ParetoTable table;
};

TEST_F(SameWork, IsRightOrWrongTogether) {
  Corrections corrections(table, {}, 0.95);
  run(corrections, 1, 3, 4);
  EXPECT_GT(corrections.factors(1).edge, 2);
  EXPECT_GT(corrections.factors(1).cloud, 2);
  EXPECT_EQ(corrections.factors(2).edge, corrections.factors(1).edge);
  EXPECT_EQ(corrections.factors(2).cloud, corrections.factors(1).cloud);
  EXPECT_LT(corrections.factors(3).edge, 1.5);
  EXPECT_LT(corrections.factors(3).cloud, 1.5);
  // That it is over is seen on either.
  run(corrections, 2, 1, 10);
  EXPECT_NEAR(corrections.factors(1).edge, 1, 0.1);
  EXPECT_NEAR(corrections.factors(1).cloud, 1, 0.1);
}

// Surprises of two rows are believed of the setting that they share, but not of two that compute
// the same: those say nothing of other parts of the network.
TEST_F(SameWork, SurprisesAsOneRowDoes) {
  Corrections same(table, {}, 0.95), other(table, {}, 0.95);
  for (Corrections* corrections : {&same, &other})
    for (const std::uint32_t row : {1u, 2u, 3u}) run(*corrections, row, 1, 20);
  run(same, 1, 7, 1);
  run(same, 2, 7, 1);
  run(other, 1, 7, 1);
  run(other, 3, 7, 1);
  EXPECT_LT(same.factors(3).edge, 1.2);
  EXPECT_LT(same.factors(3).cloud, 1.2);
  EXPECT_GT(other.factors(2).edge, 2);
  EXPECT_GT(other.factors(2).cloud, 2);
}

TEST_F(SameWork, IsKeptAsSuch) {
  Corrections corrections(table, {}, 0.95), later(table, {}, 0.95);
  run(corrections, 1, 3, 4);
  run(corrections, 2, 2, 4);
  ASSERT_TRUE(later.load(corrections.save()));
  EXPECT_EQ(later.save(), corrections.save());
  for (const std::uint32_t row : {0u, 1u, 2u, 3u}) {
    EXPECT_EQ(later.factors(row).edge, corrections.factors(row).edge);
    EXPECT_EQ(later.factors(row).move, corrections.factors(row).move);
    EXPECT_EQ(later.factors(row).cloud, corrections.factors(row).cloud);
  }
}

// A row found slow is worth a look when nothing has been heard of it, not when another has just
// shown that it still is.
TEST_F(SameWork, IsNotLookedAtWhereAnotherTellsOfIt) {
  Corrections silent(table, {}, 0.95), told(table, {}, 0.95);
  run(silent, 1, 3, 10);
  run(told, 1, 3, 10);
  run(silent, 0, 1, 500);
  run(told, 2, 3, 500);
  EXPECT_TRUE(silent.look(1).if_time);
  EXPECT_LT(silent.hopeful(1).cloud, 1.5);
  EXPECT_FALSE(told.look(1).any());
  EXPECT_NEAR(told.hopeful(1).cloud, 3, 0.3);
}

TEST_F(SameWork, SendsNoRequestToADearerRowOfIt) {
  table.rows.resize(3);
  const auto policy = *scheduler::make_policy("cleave", test::share(table));
  const LiveState state{.link = table.reference};
  const Request request{.deadline = Seconds(1)};
  const Decision before = policy->decide(request, state);
  ASSERT_EQ(before.row, 1u);
  for (int i = 0; i < 4; ++i)
    policy->observe({.row = 1, .link = state.link, .measured = measured(1, 3)});
  const Decision burst = policy->decide(request, state);
  EXPECT_EQ(burst.row, 1u);
  EXPECT_GT(burst.energy, before.energy);
}

}  // namespace
}  // namespace cleave
