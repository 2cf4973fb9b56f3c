#include <cleave/core/configuration.hpp>
#include <cleave/scheduler/replay.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using scheduler::replay;
using table::Observations;
using table::ParetoTable;

// Three configurations: one frugal and slow, one quick and dear, one between.
Observations observations() {
  return *table::parse_observations(
      "knob.mode,knob.mhz,latency_ms,energy_j\n"
      "slow,600,100,1\nslow,600,300,1\n"
      "slow,900,80,2\nslow,900,120,4\n"
      "quick,900,10,9\nquick,900,30,11\n",
      "obs.csv");
}

// A row for each configuration, as cleave optimize makes it.
std::shared_ptr<const ParetoTable> table_of(const Observations& observed) {
  ParetoTable table;
  table.edge_knobs = observed.knobs;
  for (const auto& configuration : observed.configurations) {
    const auto mean = table::mean_of(configuration);
    table::TableRow row;
    row.configuration = {{{core::edge_host, {}, configuration.levels}, {core::cloud_host, {}, {}}},
                         {"raw"}};
    row.ingredients.edge_compute = row.latency = mean.latency;
    row.ingredients.edge_busy = core::Watts(mean.energy.count() / mean.latency.count());
    row.ingredients.accuracy.value = 1;
    row.energy = mean.energy;
    row.label = table::describe(observed.knobs, configuration.levels);
    table.rows.push_back(row);
  }
  return std::make_shared<const ParetoTable>(std::move(table));
}

std::vector<table::TimedRequest> requests(std::initializer_list<double> deadlines_ms) {
  std::vector<table::TimedRequest> out;
  for (const double deadline : deadlines_ms)
    out.push_back({.arrival = {}, .deadline = core::milliseconds(deadline)});
  return out;
}

// The numbers that the header promises: uniform in [0, 1) from the seed, one a request.
std::vector<double> draws(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 engine(seed);
  std::vector<double> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(static_cast<double>(engine() >> 11) * 0x1p-53);
  return out;
}

TEST(Replay, IsAsComputedByHand) {
  const Observations observed = observations();
  const auto asked = requests({500, 150, 15, 250});
  const std::vector<std::string> policies = {"oracle", "fixed:mode=slow,mhz=900", "fastest",
                                             "frugal"};
  scheduler::ReplayOptions options;
  options.seed = 11;
  const auto logs = replay(observed, table_of(observed), asked, policies, options);
  ASSERT_TRUE(logs.has_value()) << logs.error().message();
  const std::vector<double> u = draws(11, 4);
  // Means: slow/600 200 ms 1 J, slow/900 100 ms 3 J, quick 20 ms 10 J. The oracle takes the first
  // for 500 and 250 ms, the second for 150 ms; 15 ms nothing meets, so the quickest.
  const std::vector<std::uint32_t> oracle = {0, 1, 2, 0};
  const double latency[3][2] = {{0.1, 0.3}, {0.08, 0.12}, {0.01, 0.03}};
  const double energy[3][2] = {{1, 1}, {2, 4}, {9, 11}};
  for (std::size_t p = 0; p < policies.size(); ++p) {
    double joules = 0;
    std::size_t missed = 0;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const std::uint32_t wanted = p == 0 ? oracle[i] : p == 1 ? 1 : p == 2 ? 2 : 0;
      const std::size_t rank = u[i] < 0.5 ? 0 : 1;
      const auto& outcome = (*logs)[p].outcomes[i];
      EXPECT_EQ(outcome.row, wanted) << policies[p] << ' ' << i;
      EXPECT_NEAR(outcome.latency.count(), latency[wanted][rank], 1e-12);
      joules += energy[wanted][rank];
      missed += latency[wanted][rank] > asked[i].deadline.count();
    }
    const auto summary = table::summarise((*logs)[p]);
    EXPECT_EQ(summary.requests, 4u);
    EXPECT_EQ(summary.missed, missed);
    EXPECT_NEAR(summary.mean_energy.count(), joules / 4, 1e-12);
  }
  EXPECT_EQ(scheduler::distinct_configurations((*logs)[0]), 3u);
  EXPECT_EQ(scheduler::distinct_configurations((*logs)[1]), 1u);
}

TEST(Replay, CleavePicksTheLeastEnergyInTimeWithoutLearning) {
  const Observations observed = observations();
  const std::vector<std::string> policies = {"cleave", "oracle"};
  scheduler::ReplayOptions options;
  options.policy.learning.enabled = false;
  // The rows promise their means without spread: cleave knows what the oracle knows.
  const auto logs = replay(observed, table_of(observed), requests({500, 150, 15, 250, 99, 101}),
                           policies, options);
  ASSERT_TRUE(logs.has_value()) << logs.error().message();
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ((*logs)[0].outcomes[i].row, (*logs)[1].outcomes[i].row) << i;
    EXPECT_EQ((*logs)[0].outcomes[i].latency, (*logs)[1].outcomes[i].latency) << i;
  }
}

TEST(Replay, LearnsFromWhatItSaw) {
  // The table takes slow/900 for twice as quick as it is.
  const Observations observed = observations();
  ParetoTable wrong = *table_of(observed);
  for (table::TableRow& row : wrong.rows)
    if (row.label == "mode=slow, mhz=900") {
      row.latency = row.latency / 2;
      row.ingredients.edge_compute = row.ingredients.edge_compute / 2;
      row.ingredients.edge_busy = row.ingredients.edge_busy * 2;
    }
  const auto shared = std::make_shared<const ParetoTable>(wrong);
  const std::vector<table::TimedRequest> asked(100,
                                               {.arrival = {}, .deadline = core::milliseconds(75)});
  const std::vector<std::string> policies = {"cleave"};
  std::vector<std::size_t> missed;
  for (const bool learn : {true, false}) {
    scheduler::ReplayOptions options;
    options.policy.learning.enabled = learn;
    const auto logs = replay(observed, shared, asked, policies, options);
    ASSERT_TRUE(logs.has_value());
    missed.push_back(table::summarise((*logs)[0]).missed);
  }
  EXPECT_LE(missed[0], 2u);
  EXPECT_EQ(missed[1], 100u);
}

TEST(Replay, LearnsFromMeasuredJoulesOnly) {
  // The table takes slow/900 for a quarter of the watts it draws: 0.75 J, where the frugal one
  // takes 1 J and it takes 3.
  const Observations observed = observations();
  ParetoTable wrong = *table_of(observed);
  for (table::TableRow& row : wrong.rows)
    if (row.label == "mode=slow, mhz=900") {
      row.energy = row.energy / 4;
      row.ingredients.edge_busy = row.ingredients.edge_busy / 4;
    }
  const auto shared = std::make_shared<const ParetoTable>(wrong);
  const std::vector<table::TimedRequest> asked(
      100, {.arrival = {}, .deadline = core::milliseconds(900)});
  const std::vector<std::string> policies = {"cleave"};
  for (const core::Origin origin : {core::Origin::measured, core::Origin::modelled})
    for (const auto boundary : {core::Boundary::edge, core::Boundary::edge_cloud_machine}) {
      scheduler::ReplayOptions options;
      options.boundary = boundary;
      options.origin = origin;
      const auto logs = replay(observed, shared, asked, policies, options);
      ASSERT_TRUE(logs.has_value());
      const auto ran = std::count_if((*logs)[0].outcomes.begin(), (*logs)[0].outcomes.end(),
                                     [](const auto& outcome) { return outcome.row == 1; });
      if (origin == core::Origin::measured)
        EXPECT_LE(ran, 5);
      else
        EXPECT_EQ(ran, 100);
    }
}

TEST(Replay, GoesByArrivalAndDrawsByTheFilesOrder) {
  const Observations observed = observations();
  auto asked = requests({500, 150});
  asked[0].arrival = core::Seconds(2);
  asked[1].arrival = core::Seconds(1);
  const std::vector<std::string> policies = {"fixed:mode=slow,mhz=600"};
  const auto logs = replay(observed, table_of(observed), asked, policies, {.seed = 5});
  ASSERT_TRUE(logs.has_value());
  const auto& outcomes = (*logs)[0].outcomes;
  EXPECT_EQ(outcomes[0].request.deadline, core::milliseconds(150));
  EXPECT_NEAR(outcomes[0].latency.count(), draws(5, 2)[1] < 0.5 ? 0.1 : 0.3, 1e-12);
}

TEST(Replay, ARequestWaitsForThoseBeforeIt) {
  const Observations observed = observations();
  // Arrivals in milliseconds, deadlines, and runs of 80 or 120 ms.
  const std::vector<double> arrivals = {0, 10, 20, 900};
  auto asked = requests({500, 150, 500, 500});
  for (std::size_t i = 0; i < asked.size(); ++i) asked[i].arrival = core::milliseconds(arrivals[i]);
  const std::vector<std::string> policies = {"fixed:mode=slow,mhz=900", "cleave", "oracle"};
  scheduler::ReplayOptions options{.seed = 3};
  options.queueing = true;
  options.policy.learning.enabled = false;
  const auto logs = replay(observed, table_of(observed), asked, policies, options);
  ASSERT_TRUE(logs.has_value());
  const std::vector<double> u = draws(3, 4);
  double free = 0;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    const double begins = std::max(free, arrivals[i]);
    free = begins + (u[i] < 0.5 ? 80 : 120);
    EXPECT_NEAR((*logs)[0].outcomes[i].latency.count() * 1e3, free - arrivals[i], 1e-9);
  }
  for (const std::size_t policy : {1u, 2u}) {
    const auto& outcomes = (*logs)[policy].outcomes;
    // The first takes the frugal configuration, 100 or 300 ms. After 90 of its 150 ms the second
    // has time for the quick one only, after 290 for none.
    EXPECT_EQ(outcomes[0].row, 0u);
    EXPECT_EQ(outcomes[1].row, 2u);
    const double first = u[0] < 0.5 ? 100 : 300, second = u[1] < 0.5 ? 10 : 30;
    EXPECT_NEAR(outcomes[1].latency.count() * 1e3, first - 10 + second, 1e-9);
    EXPECT_EQ(outcomes[3].row, 0u);
  }
  // Without it each runs alone.
  options.queueing = false;
  const auto alone = replay(observed, table_of(observed), asked, policies, options);
  EXPECT_LE((*alone)[0].outcomes[1].latency, core::milliseconds(120));
}

TEST(Replay, CleaveStaysWithinItsBudget) {
  const Observations observed = observations();
  std::vector<table::TimedRequest> asked;
  for (int i = 0; i < 600; ++i)
    asked.push_back({.arrival = core::Seconds(i), .deadline = core::milliseconds(150)});
  // In time for 3 J a request, on average; late for 1 J.
  const std::vector<std::string> policies = {"cleave", "oracle"};
  for (const double watts : {0.5, 1.5, 2.5, 6.0}) {
    scheduler::ReplayOptions options{.seed = 3};
    options.policy.learning.enabled = false;
    options.budget = {.rate = core::Watts(watts), .horizon = core::Seconds(30)};
    const auto logs = replay(observed, table_of(observed), asked, policies, options);
    ASSERT_TRUE(logs.has_value());
    double joules = 0;
    std::size_t refused = 0;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      const auto& outcome = (*logs)[0].outcomes[i];
      refused += !outcome.error.empty();
      joules += outcome.energy.edge_compute.count();
      // A run may take 4 J where 3 were expected.
      EXPECT_LE(joules, watts * 30 + watts * static_cast<double>(i) + 1 + 1e-9);
    }
    const auto summary = table::summarise((*logs)[0]);
    EXPECT_EQ(summary.failed, refused);
    EXPECT_EQ(refused > 0, watts < 1);
    if (watts == 6.0) {
      EXPECT_EQ(summary.missed, 0u);
    }
    if (watts == 1.5) {
      // What comes in is spent: a quarter of the requests at 3 J and the others at 1 J, of which
      // one run in two is in time, too.
      EXPECT_NEAR(joules, 1.5 * 630, 50);
      EXPECT_NEAR(static_cast<double>(summary.missed), 0.375 * 600, 60);
    }
    EXPECT_EQ(table::summarise((*logs)[1]).missed, 0u);
  }
}

TEST(Replay, RefusesWhatDoesNotBelongTogether) {
  const Observations observed = observations();
  const auto table = table_of(observed);
  const auto code = [&](const std::string& policy, auto asked, auto with) {
    const std::vector<std::string> policies = {policy};
    const auto logs = replay(observed, with, asked, policies);
    return logs ? core::Errc::internal : logs.error().code;
  };
  using core::Errc;
  EXPECT_EQ(code("fixed:mode=slow", requests({1}), table), Errc::invalid_argument);
  EXPECT_EQ(code("fixed:mode=quick,mhz=600", requests({1}), table), Errc::not_found);
  EXPECT_EQ(code("fixed:speed=1", requests({1}), table), Errc::not_found);
  EXPECT_EQ(code("fixed:mode", requests({1}), table), Errc::invalid_argument);
  EXPECT_EQ(code("best", requests({1}), table), Errc::invalid_argument);
  EXPECT_EQ(code("cleave", requests({}), table), Errc::invalid_argument);
  auto floored = requests({100});
  floored[0].accuracy_floor = 0.5;
  EXPECT_EQ(code("cleave", floored, table), Errc::invalid_argument);
  for (const bool queueing : {true, false}) {
    scheduler::ReplayOptions options;
    options.queueing = queueing;
    if (!queueing)
      options.budget = {.rate = core::Watts(1)};
    const std::vector<std::string> policies = {"cleave"};
    EXPECT_EQ(replay(observed, table, requests({1, 2}), policies, options).error().code,
              Errc::invalid_argument);
  }
  ParetoTable other = *table;
  other.edge_knobs[0].name = "turbo";
  EXPECT_EQ(code("cleave", requests({1}), std::make_shared<const ParetoTable>(other)),
            Errc::mismatch);
}

}  // namespace
