// The scheduler in a world that changes, each time beside the same one that does not learn.
// bench/adapt has the same with the link's real estimate, and prints figures.
#include "tests/scheduler/changing_world.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace cleave {
namespace {

using core::Seconds;
using test::ChangingWorld;
using test::Truth;

constexpr std::size_t before = 100, soon = 10, after = 100;
constexpr std::uint64_t seeds = 20;

struct Missed {
  double soon = 0, later = 0;  // of the requests, over all seeds
};

// `seen`: the link's estimate follows after three requests that used it, and the queue after one.
Missed missed(bool learning, bool seen,
              const std::function<Truth(const table::LinkState&, std::size_t)>& truth) {
  Missed out;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto table = test::share(test::network_table(seed));
    scheduler::PolicyOptions options;
    options.learning.enabled = learning;
    const auto policy = scheduler::make_policy("cleave", table, options).value();
    std::vector<table::LinkState> links(3, table->reference);
    Seconds queue;
    ChangingWorld world;
    world.truth = [&](std::size_t i) { return truth(table->reference, i); };
    world.saw = [&](const table::Ingredients&, const Truth& now, Seconds) {
      links.push_back(now.link);
      queue = now.queue;
    };
    world.link = [&](Seconds) { return seen ? links[links.size() - 3] : table->reference; };
    world.queue = [&] { return seen ? queue : Seconds(); };
    const auto steps = test::run_changing(*policy, world, before + after, seed);
    for (std::size_t i = before; i < before + after; ++i)
      (i < before + soon ? out.soon : out.later) +=
          static_cast<double>(steps[i].missed && steps[i].feasible);
  }
  out.soon /= static_cast<double>(seeds * soon);
  out.later /= static_cast<double>(seeds * (after - soon));
  return out;
}

Truth a_tenth(const table::LinkState& link, std::size_t i) {
  Truth truth{.link = link, .queue = {}};
  if (i >= before) {
    truth.link.up = link.up * 0.1;
    truth.link.down = link.down * 0.1;
  }
  return truth;
}

TEST(Adapting, ALinkThatFallsToATenthIsFollowedWithinTenRequests) {
  // By its estimate: three requests, and then no more misses than by chance.
  for (const bool learning : {true, false}) {
    const Missed seen = missed(learning, true, a_tenth);
    EXPECT_LT(seen.soon, 0.3);
    EXPECT_LT(seen.later, 0.01);
  }
  // By what requests took alone.
  const Missed learnt = missed(true, false, a_tenth), stubborn = missed(false, false, a_tenth);
  EXPECT_LT(learnt.soon, 0.4);
  EXPECT_LT(learnt.later, 0.01);
  EXPECT_GT(stubborn.later, 0.5);
}

TEST(Adapting, WorkMovesToTheEdgeBeforeAGrowingQueueBreaksDeadlines) {
  const auto growing = [](const table::LinkState& link, std::size_t i) {
    const double ms = i < before ? 0 : 4 * static_cast<double>(i - before);
    return Truth{.link = link, .queue = core::milliseconds(ms)};
  };
  const Missed seen = missed(true, true, growing);
  EXPECT_EQ(seen.soon, 0);
  EXPECT_LT(seen.later, 0.01);
  EXPECT_GT(missed(true, false, growing).later, 0.1);
}

TEST(Adapting, ACloudThatSlowsDownIsLearntOfAllItsRows) {
  const auto slower = [](const table::LinkState& link, std::size_t i) {
    return Truth{.link = link, .queue = {}, .cloud = i < before ? 1.0 : 20.0};
  };
  const Missed learnt = missed(true, true, slower), stubborn = missed(false, true, slower);
  EXPECT_LT(learnt.later, 0.02);
  EXPECT_GT(stubborn.later, 0.1);
}

}  // namespace
}  // namespace cleave
