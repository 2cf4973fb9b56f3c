#include "tests/scheduler/random_table.hpp"
#include "tests/scheduler/stream_world.hpp"

#include <cleave/scheduler/streams.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using scheduler::Decision;
using scheduler::LiveState;
using scheduler::no_row;
using scheduler::Request;
using scheduler::Streams;
using table::ParetoTable;
using test::Dice;
using test::random_table;
using test::share;
using test::WorldRequest;

// A row on the edge of this time, and one in the cloud of this time that costs far more.
std::shared_ptr<const ParetoTable> edge_or_cloud(double edge_ms, double cloud_ms) {
  ParetoTable table = random_table(2, 1);
  table.rows[0].ingredients.edge_compute = milliseconds(edge_ms);
  table.rows[0].ingredients.edge_busy = core::Watts(3);
  table::Ingredients& in = table.rows[1].ingredients;
  in.up = in.down = core::Bytes(0);
  in.ramp_round_trips = 0;
  in.encode_first = milliseconds(1);
  in.encode_rest = in.decode_rest = in.decode_last = in.overhead = Seconds();
  in.cloud_compute = milliseconds(cloud_ms) - milliseconds(1) - table.reference.round_trip;
  in.cloud_device = core::Watts(1000);
  for (auto& row : table.rows) row.ingredients.spread = 0;
  return share(std::move(table));
}

Streams::StreamId add(Streams& streams, std::shared_ptr<const ParetoTable> table,
                      std::uint8_t priority = 1,
                      double deadline_ms = std::numeric_limits<double>::infinity()) {
  scheduler::StreamOptions options;
  options.table = std::move(table);
  options.priority = priority;
  options.deadline = milliseconds(deadline_ms);
  options.policy_options.learning.enabled = false;
  const auto added = streams.add(options);
  EXPECT_TRUE(added.has_value());
  return added.value_or(0);
}

LiveState state_of(const ParetoTable& table) {
  return {.link = table.reference};
}

TEST(Streams, AHeadWaitsForThoseBeforeItAndAHeadlessRowForNobody) {
  const auto table = edge_or_cloud(100, 150);
  Streams streams;
  const auto stream = add(streams, table);
  const Request patient{.deadline = Seconds(10)};
  auto first = streams.arrive(stream, Seconds(10), Seconds(0));
  EXPECT_EQ(first.start(patient, state_of(*table), Seconds(0)).edge_wait, Seconds());
  EXPECT_FALSE(streams.edge_free());
  auto second = streams.arrive(stream, Seconds(10), milliseconds(30));
  EXPECT_NEAR(second.decide(patient, state_of(*table), milliseconds(30)).edge_wait.count(), 0.07,
              1e-12);
  auto third = streams.arrive(stream, Seconds(10), milliseconds(40));
  EXPECT_NEAR(third.decide(patient, state_of(*table), milliseconds(40)).edge_wait.count(), 0.16,
              1e-12);
  // Passes the others by, since it could not wait for them.
  const Decision hurried =
      third.start({.deadline = milliseconds(200)}, state_of(*table), milliseconds(40), false);
  EXPECT_EQ(hurried.row, 1u);
  EXPECT_EQ(hurried.edge_wait, Seconds());
  EXPECT_EQ(streams.computing(), 1u);
  EXPECT_EQ(streams.waiting(), 1u);
  // Longer than expected: nothing is known but that it cannot be long.
  EXPECT_EQ(second.decide(patient, state_of(*table), milliseconds(500)).edge_wait, Seconds());
  first.leave_edge(milliseconds(501));
  EXPECT_TRUE(streams.edge_free());
  first.compute_again(milliseconds(50), milliseconds(510));
  EXPECT_NEAR(second.decide(patient, state_of(*table), milliseconds(520)).edge_wait.count(), 0.04,
              1e-12);
}

TEST(Streams, TheEdgeIsGivenByPriorityThenByWhatIsDueThenByAge) {
  const auto table = edge_or_cloud(10, 50);
  Streams streams;
  const auto low = add(streams, table, 1), high = add(streams, table, 2);
  struct One {
    Streams::StreamId stream;
    double due;
    std::size_t place;
  };
  const std::vector<One> arrivals = {
      {low, 5, 4},  {low, 3, 2}, {high, 9, 1},
      {high, 8, 0}, {low, 3, 3}, {low, std::numeric_limits<double>::infinity(), 5}};
  std::vector<Streams::Ticket> tickets;
  for (const One& one : arrivals)
    tickets.push_back(streams.arrive(one.stream, Seconds(one.due), Seconds(0)));
  for (std::size_t place = 0; place < arrivals.size(); ++place)
    for (std::size_t i = 0; i < arrivals.size(); ++i)
      if (arrivals[i].place == place) {
        EXPECT_TRUE(streams.is_next(tickets[i])) << place;
        (void)tickets[i].start({}, state_of(*table), Seconds(0));
        tickets[i].leave_edge(Seconds(0));
      }
}

// The wait is what a simulation of the places gives.
TEST(Streams, TheWaitIsThatOfAQueueWithSoManyPlaces) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    Dice dice(seed);
    const int places = 1 + static_cast<int>(dice.below(3));
    Streams streams({.computing = places});
    std::vector<std::shared_ptr<const ParetoTable>> tables;
    std::vector<double> holds;
    for (int s = 0; s < 4; ++s) {
      const double hold = std::round(dice.between(5, 200));
      tables.push_back(edge_or_cloud(hold, 5000));
      holds.push_back(hold / 1e3);
      add(streams, tables.back());
    }
    std::vector<Streams::Ticket> tickets;
    std::vector<double> free(static_cast<std::size_t>(places), 0);
    const auto soonest = [&] { return std::min_element(free.begin(), free.end()); };
    const std::size_t count = static_cast<std::size_t>(places) + dice.below(6);
    for (std::size_t i = 0; i < count; ++i) {
      const auto stream = dice.below(4);
      auto ticket = streams.arrive(stream, Seconds(100), Seconds(0));
      const auto state = state_of(*tables[stream]);
      if (streams.edge_free()) {
        (void)ticket.start({}, state, Seconds(0));
      } else {
        EXPECT_NEAR(ticket.decide({}, state, Seconds(0)).edge_wait.count(), *soonest(), 1e-9);
      }
      *soonest() += holds[stream];
      // The knobs differ from nothing: no switching is charged.
      tickets.push_back(std::move(ticket));
    }
  }
}

TEST(Streams, ARequestMakesRoomForStreamsOfHigherPriority) {
  const auto long_one = edge_or_cloud(400, 500), short_one = edge_or_cloud(20, 50);
  Streams streams;
  const auto low = add(streams, long_one, 1);
  const Request patient{.deadline = Seconds(10)};
  const auto row = [&](Streams::StreamId stream, const ParetoTable& table) {
    auto ticket = streams.arrive(stream, Seconds(10), Seconds(0));
    return ticket.start(patient, state_of(table), Seconds(0)).row;
  };
  EXPECT_EQ(row(low, *long_one), 0u);
  // It has 40 ms to spare.
  const auto high = add(streams, short_one, 2, 60);
  EXPECT_EQ(row(low, *long_one), 1u);
  EXPECT_EQ(row(high, *short_one), 0u);
  // Among equals nobody makes room.
  const auto equal = add(streams, long_one, 2);
  EXPECT_EQ(row(equal, *long_one), 0u);
  streams.retire(high);
  EXPECT_EQ(row(low, *long_one), 0u);
  // Who cannot be in time anyway asks for nothing.
  Streams hopeless;
  add(hopeless, short_one, 2, 10);
  auto ticket = hopeless.arrive(add(hopeless, long_one, 1), Seconds(10), Seconds(0));
  EXPECT_EQ(ticket.start(patient, state_of(*long_one), Seconds(0)).row, 0u);
}

TEST(Streams, ShareOneDevicesKnobs) {
  ParetoTable other = random_table(5, 1);
  other.edge_knobs[0].levels.pop_back();
  for (auto& row : other.rows) row.configuration.stages[0].levels[0] = 0;
  Streams streams;
  add(streams, share(random_table(5, 1)));
  const auto code = [&](std::shared_ptr<const ParetoTable> table, const std::string& policy) {
    scheduler::StreamOptions options;
    options.table = std::move(table);
    options.policy = policy;
    const auto added = streams.add(options);
    return added ? core::Errc::internal : added.error().code;
  };
  EXPECT_EQ(code(share(std::move(other)), "cleave"), core::Errc::mismatch);
  EXPECT_EQ(code(nullptr, "cleave"), core::Errc::invalid_argument);
  EXPECT_EQ(code(share(random_table(5, 1)), "best"), core::Errc::not_found);
}

// What one stream's request sets, another's finds set.
TEST(Streams, SwitchingIsCountedFromWhatTheLastRequestSet) {
  ParetoTable a = *edge_or_cloud(50, 500), b = a;
  a.rows[0].configuration.stages[0].levels = {3, 1};
  b.rows[0].configuration.stages[0].levels = {0, 1};
  const auto first = share(std::move(a)), second = share(std::move(b));
  Streams streams;
  const auto one = add(streams, first), two = add(streams, second);
  const auto switching = [&](Streams::StreamId stream) {
    auto ticket = streams.arrive(stream, Seconds(10), Seconds(0));
    return ticket.start({}, state_of(*first), Seconds(0)).switching;
  };
  EXPECT_EQ(switching(one), Seconds());  // what is set is not known yet
  EXPECT_EQ(switching(one), Seconds());
  EXPECT_EQ(switching(two), milliseconds(3));
  EXPECT_EQ(switching(two), Seconds());
}

TEST(Streams, ATicketThatIsDroppedGivesItsPlaceBack) {
  const auto table = edge_or_cloud(100, 500);
  Streams streams;
  const auto stream = add(streams, table);
  {
    auto ticket = streams.arrive(stream, Seconds(1), Seconds(0));
    (void)ticket.start({}, state_of(*table), Seconds(0));
    EXPECT_EQ(streams.computing(), 1u);
    auto moved = std::move(ticket);
    EXPECT_EQ(streams.computing(), 1u);
  }
  EXPECT_EQ(streams.computing(), 0u);
  EXPECT_TRUE(streams.edge_free());
}

// A patient stream with long heads beside a hurried one: the hurried one's deadlines, and what it
// costs to keep them.
TEST(Streams, KeepDeadlinesThatIndependentPoliciesMiss) {
  const std::vector<std::shared_ptr<const ParetoTable>> tables = {edge_or_cloud(400, 700),
                                                                  edge_or_cloud(20, 50)};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Dice dice(seed);
    std::vector<WorldRequest> requests;
    for (double at = 0; at < 200; at += -std::log(1 - dice.between(0, 1)) * 2)
      requests.push_back({0, Seconds(at), Seconds(5)});
    for (double at = 0; at < 200; at += -std::log(1 - dice.between(0, 1)) * 0.2)
      requests.push_back({1, Seconds(at), milliseconds(70)});
    std::sort(requests.begin(), requests.end(),
              [](const auto& a, const auto& b) { return a.arrival < b.arrival; });
    struct Figures {
      std::size_t missed = 0, hurried = 0;
    };
    const auto run = [&](bool aware, std::uint8_t hurried_priority) {
      Streams streams;
      add(streams, tables[0], 1);
      add(streams, tables[1], hurried_priority, aware ? 70 : 1e9);
      const auto outcomes = test::run_world(streams, tables, requests, aware);
      Figures figures;
      for (std::size_t i = 0; i < requests.size(); ++i)
        if (outcomes[i].latency > requests[i].deadline)
          ++(requests[i].stream == 1 ? figures.hurried : figures.missed);
      return figures;
    };
    const Figures unaware = run(false, 1), aware = run(true, 1), urgent = run(true, 2);
    const double hurried = static_cast<double>(std::count_if(
        requests.begin(), requests.end(), [](const WorldRequest& r) { return r.stream == 1; }));
    // A head of 400 ms every two seconds: a fifth of the time the edge is busy.
    EXPECT_GT(static_cast<double>(unaware.hurried) / hurried, 0.1) << seed;
    EXPECT_LT(static_cast<double>(aware.hurried) / hurried, 0.01) << seed;
    // What knobs a request will find set when its turn comes is not known when it begins to wait.
    EXPECT_LE(static_cast<double>(urgent.hurried) / hurried, 0.001) << seed;
    EXPECT_EQ(unaware.missed + aware.missed + urgent.missed, 0u) << seed;
  }
}

TEST(Streams, FromSeveralThreads) {
  const auto table = share(random_table(100, 2));
  auto budget = scheduler::EnergyBudget::make({.rate = core::Watts(1000)}, Seconds(0)).value();
  Streams streams({.computing = 2, .budget = budget});
  const auto low = add(streams, table, 1, 100), high = add(streams, table, 2, 50);
  std::atomic<int> done = 0;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        Dice dice(t);
        for (int i = 0; i < 500; ++i) {
          const Seconds now(i * 1e-3);
          auto ticket = streams.arrive(t % 2 == 0 ? low : high, now + milliseconds(50), now);
          const Request request{.deadline = milliseconds(dice.between(1, 400))};
          if (!streams.edge_free())
            (void)ticket.decide(request, state_of(*table), now);
          const Decision got = ticket.start(request, state_of(*table), now);
          if (got.row == no_row)
            continue;
          ticket.leave_edge(now);
          ticket.finish(
              {.row = got.row, .link = table->reference, .measured = got.prediction.latency},
              got.edge_energy, now);
          ++done;
        }
      });
  }
  EXPECT_GT(done, 0);
  EXPECT_EQ(streams.computing() + streams.waiting(), 0u);
}

}  // namespace
}  // namespace cleave
