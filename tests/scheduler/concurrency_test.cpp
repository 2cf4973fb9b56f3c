#include "scheduler/snapshots.hpp"
#include "tests/scheduler/allocations.hpp"
#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace cleave {
namespace {

using core::milliseconds;
using test::Dice;
using test::random_table;
using test::share;

TEST(Decide, AllocatesNothing) {
  const auto table = share(random_table(1000, 1));
  for (const std::string_view name : scheduler::policy_names()) {
    const auto policy = scheduler::make_policy(name, table).value();
    Dice dice(3);
    const std::vector<core::LevelIndex> edge = {1, 1}, cloud = {0};
    for (int i = 0; i < 500; ++i) {
      scheduler::LiveState state{.link = table->reference};
      // One in three meets a link that the rows were not composed for.
      if (i % 3 == 0)
        state.link.up = core::megabits_per_second(dice.between(1, 100));
      state.cloud_reachable = i % 5 != 0;
      state.edge_levels = edge;
      state.cloud_levels = cloud;
      const scheduler::Request request{.deadline = milliseconds(dice.between(1, 500)),
                                       .accuracy_floor = i % 7 == 0 ? 0.9 : 0};
      const std::size_t before = test::allocations();
      const scheduler::Decision got = policy->decide(request, state);
      ASSERT_EQ(test::allocations(), before) << name;
      policy->observe({.row = got.row, .link = state.link, .measured = got.prediction.latency});
    }
  }
}

TEST(Decide, FromSeveralThreadsWhileOthersObserveAndTheLinkMoves) {
  const auto table = share(random_table(300, 2));
  const auto policy = scheduler::make_policy("cleave", table).value();
  std::atomic<bool> go = false;
  std::atomic<int> decided = 0;
  constexpr int each = 3000;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        Dice dice(t);
        while (!go) std::this_thread::yield();
        for (int i = 0; i < each; ++i) {
          scheduler::LiveState state{.link = table->reference};
          if (i % 4 == 0)
            state.link.up = core::megabits_per_second(dice.between(5, 50));
          const auto got = policy->decide({.deadline = milliseconds(dice.between(1, 500))}, state);
          decided += got.row < table->rows.size();
          if (i % 3 == 0) {
            table::LatencyParts took = got.prediction.latency;
            took.edge_compute = took.edge_compute * dice.between(0.5, 2);
            policy->observe({.row = got.row, .link = state.link, .measured = took});
          }
          if (i % 11 == 0)
            policy->refresh(state.link);
        }
      });
    go = true;
  }
  EXPECT_EQ(decided, 3 * each);
}

TEST(Snapshots, AReaderSeesAWholeValueThatDoesNotChange) {
  struct Pair {
    std::vector<std::uint64_t> values = std::vector<std::uint64_t>(64, 0);
  };
  scheduler::Snapshots<Pair> snapshots([] { return Pair(); });
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0, backwards = 0;
  {
    std::vector<std::jthread> readers;
    for (int r = 0; r < 2; ++r)
      readers.emplace_back([&] {
        std::uint64_t last = 0;
        while (!done) {
          const auto reader = snapshots.read();
          const std::uint64_t first = reader->values.front();
          for (const std::uint64_t value : reader->values) torn += value != first;
          backwards += first < last;
          last = first;
        }
      });
    for (std::uint64_t i = 1; i <= 20'000; ++i)
      if (Pair* next = snapshots.writable()) {
        std::fill(next->values.begin(), next->values.end(), i);
        snapshots.publish(next);
      }
    done = true;
  }
  EXPECT_EQ(torn, 0);
  EXPECT_EQ(backwards, 0);
}

TEST(Snapshots, AWriterFindsNoSlotWhileAllOthersAreRead) {
  scheduler::Snapshots<int> snapshots([] { return 0; });
  using Reader = scheduler::Snapshots<int>::Reader;
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 1; i <= 3; ++i) {
    readers.push_back(std::make_unique<Reader>(snapshots));
    int* next = snapshots.writable();
    ASSERT_NE(next, nullptr);
    *next = i;
    snapshots.publish(next);
  }
  EXPECT_EQ(snapshots.writable(), nullptr);
  EXPECT_EQ(**readers[0], 0);
  EXPECT_EQ(**readers[2], 2);
  EXPECT_EQ(*snapshots.read(), 3);
  readers.erase(readers.begin());
  EXPECT_NE(snapshots.writable(), nullptr);
}

}  // namespace
}  // namespace cleave
