#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::make_policy;
using scheduler::Request;
using table::ParetoTable;
using test::Dice;
using test::random_table;
using test::share;
using testing::HasSubstr;
using testing::Not;

constexpr double z95 = 1.6448536269514722;  // standard normal, 95 %

// Rows that differ in what the tests below need: "a", "b", ... on the edge at `seconds` and 1 W,
// at rising power.
ParetoTable edge_rows(const std::vector<std::pair<double, double>>& seconds_and_watts) {
  ParetoTable table = random_table(2, 1);
  const table::TableRow edge = table.rows[0], cloud = table.rows[1];
  table.rows.clear();
  for (const auto& [seconds, watts] : seconds_and_watts) {
    table::TableRow row = edge;
    row.label = std::string(1, static_cast<char>('a' + table.rows.size()));
    row.ingredients.edge_compute = Seconds(seconds);
    row.ingredients.edge_busy = core::Watts(watts);
    row.ingredients.spread = 0;
    row.ingredients.accuracy.value = 0.9;
    table.rows.push_back(row);
  }
  return table;
}

std::string explained(const ParetoTable& table, const Request& request, LiveState state = {},
                      const scheduler::PolicyOptions& options = {}) {
  state.link = table.reference;
  const auto policy = make_policy("cleave", share(table), options).value();
  return policy->explain(request, state, policy->decide(request, state));
}

TEST(Explain, IsOneLineWithTheEnergysBoundaryAndOrigin) {
  const auto table = share(random_table(30, 2));
  const LiveState state{.link = table->reference};
  for (const std::string_view name : scheduler::policy_names()) {
    const auto policy = make_policy(name, table).value();
    const Request request{.deadline = milliseconds(100)};
    const Decision decision = policy->decide(request, state);
    const std::string text = policy->explain(request, state, decision);
    EXPECT_TRUE(text.starts_with(explain(*table, decision))) << text;
    EXPECT_THAT(text, HasSubstr("row "));
    EXPECT_THAT(text, HasSubstr("edge+cloud device, modelled"));
    EXPECT_EQ(text.find('\n'), std::string::npos);
  }
  EXPECT_THAT(explain(*table, Decision{}), HasSubstr("refused"));
}

TEST(Explain, NamesTheCheapestOfThoseThatAreTooLate) {
  const ParetoTable table = edge_rows({{0.05, 8}, {0.2, 1.4}, {0.3, 1}, {0.04, 20}});
  const std::string text =
      explained(table, {.deadline = milliseconds(130), .elapsed = milliseconds(10)});
  EXPECT_TRUE(text.starts_with("a: least energy in time;")) << text;
  // b takes 0.28 J and c 0.3 J, where a takes 0.4 J and d 0.8 J.
  EXPECT_THAT(text, HasSubstr("; cheaper but too late: 2, the cheapest b with 0.28 J, "
                              "up to 200.0 ms of 120.0 ms"));
  EXPECT_THAT(text, Not(HasSubstr("floor")));
  EXPECT_THAT(explained(table, {.deadline = Seconds(1)}), Not(HasSubstr("cheaper")));
}

TEST(Explain, NamesFloorAndReach) {
  ParetoTable table = edge_rows({{0.05, 8}, {0.05, 2}});
  table.rows[1].ingredients.accuracy.value = 0.8;
  EXPECT_THAT(explained(table, {.deadline = Seconds(1), .accuracy_floor = 0.85}),
              HasSubstr("; cheaper but below the accuracy floor: 1, the cheapest b with 0.1 J, "
                        "right 0.8 of 0.85"));
  table.rows[1] = random_table(2, 1).rows[1];
  table.rows[0].ingredients.edge_busy = core::Watts(1e6);
  EXPECT_THAT(explained(table, {.deadline = Seconds(9)}, {.cloud_reachable = false}),
              HasSubstr("; cheaper but in need of the cloud, which is out of reach: 1, the "
                        "cheapest row 1 with "));
}

TEST(Explain, TellsWhatWouldHaveBeenInTimeWhereNoneIs) {
  ParetoTable table = edge_rows({{0.05, 8}, {0.2, 1}});
  table.rows[0].ingredients.accuracy.value = 0.5;
  const Request request{.deadline = milliseconds(100), .accuracy_floor = 0.85};
  const std::string fastest = explained(table, request);
  EXPECT_TRUE(fastest.starts_with("b: none in time, fastest;")) << fastest;
  EXPECT_THAT(fastest, HasSubstr("; in time but below the accuracy floor: 1, the cheapest a"));
  const std::string refused = explained(table, request, {}, {.on_miss = scheduler::OnMiss::refuse});
  EXPECT_TRUE(refused.starts_with("refused")) << refused;
  EXPECT_THAT(refused, HasSubstr("; the soonest is b, up to 200.0 ms of 100.0 ms"));
}

TEST(Explain, TellsWhatWasLearnt) {
  const ParetoTable table = edge_rows({{0.05, 8}});
  const auto policy = make_policy("cleave", share(table)).value();
  const Request request{.deadline = Seconds(1)};
  const LiveState state{.link = table.reference};
  EXPECT_THAT(policy->explain(request, state, policy->decide(request, state)),
              Not(HasSubstr("learnt")));
  table::LatencyParts took;
  took.edge_compute = Seconds(0.06);
  for (int i = 0; i < 50; ++i)
    policy->observe({.row = 0, .link = table.reference, .measured = took});
  EXPECT_THAT(policy->explain(request, state, policy->decide(request, state)),
              HasSubstr("; learnt: edge x1.20, link x1.00, cloud x1.00"));
}

// The number of cheaper rows that are too late is that of the definition, row by row.
TEST(Explain, CountsWhatBruteForceCounts) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const ParetoTable table = random_table(40, seed);
    Dice dice(seed);
    const Request request{.deadline = milliseconds(dice.between(50, 400))};
    const auto policy = make_policy("cleave", share(table)).value();
    const LiveState state{.link = table.reference, .queue = milliseconds(dice.between(0, 30))};
    const Decision decision = policy->decide(request, state);
    if (!decision.meets_deadline)
      continue;
    int cheaper = 0;
    for (const table::TableRow& row : table.rows) {
      const auto made = table::compose(row.ingredients, state.link,
                                       row.ingredients.uses_cloud ? state.queue : Seconds());
      // The row itself is not cheaper than it is, but for rounding.
      if (made.energy.total(table.boundary) >= decision.energy * (1 - 1e-9))
        continue;
      ++cheaper;
      // Being cheaper and in time, it would have been picked.
      EXPECT_GT(made.latency.total() * (1 + z95 * row.ingredients.spread), request.deadline);
    }
    const std::string text = policy->explain(request, state, decision);
    if (cheaper == 0)
      EXPECT_THAT(text, Not(HasSubstr("cheaper")));
    else
      EXPECT_THAT(text, HasSubstr("; cheaper but too late: " + std::to_string(cheaper) + ","));
  }
}

}  // namespace
}  // namespace cleave
