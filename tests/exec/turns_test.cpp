#include <cleave/exec/turns.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

namespace cleave::tests {
namespace {

using exec::Turn;
using exec::Turns;

void wait_for(const Turns& turns, std::size_t waiting) {
  while (turns.waiting() != waiting) std::this_thread::yield();
}

TEST(Turns, AreTakenInTheOrderOfArrivalByThoseWhoHadOneFirst) {
  const auto turns = std::make_shared<Turns>();
  std::string order;  // written by whoever has the turn
  std::vector<std::thread> threads;
  Turn first(turns);
  Turn* other = nullptr;
  std::atomic<bool> away{false};
  threads.emplace_back([&] {
    Turn turn(turns);
    other = &turn;
    turn.end();
    away = true;
    away.notify_all();
    wait_for(*turns, 3);
    ASSERT_TRUE(turn.again());
    order += 'a';
  });
  wait_for(*turns, 1);
  first.end();
  away.wait(false);
  ASSERT_TRUE(first.again());
  for (std::size_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Turn turn(turns);
      order += static_cast<char>('1' + i);
    });
    wait_for(*turns, i < 2 ? i + 1 : 4);  // with the third comes the one that had a turn
  }
  EXPECT_EQ(order, "");
  first.end();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, "a123");
  EXPECT_EQ(turns->waiting(), 0U);
}

TEST(Turns, AreGivenToSoManyAtATime) {
  for (const int at_once : {1, 2, 3}) {
    const auto turns = std::make_shared<Turns>(at_once);
    std::atomic<int> inside{0}, most{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back([&] {
        for (int k = 0; k < 200; ++k) {
          Turn turn(turns);
          const int now = ++inside;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
          --inside;
          turn.end();
          turn.again();
        }
      });
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(most, at_once);
  }
}

TEST(Turns, AnyNumberIsHadAtOnceIfThatIsWanted) {
  const auto turns = std::make_shared<Turns>(0);
  const Turn a(turns), b(turns), c(turns);
  EXPECT_TRUE(a.held() && b.held() && c.held());
}

TEST(Turns, WaitingEndsWhenItsReasonIsGone) {
  const auto turns = std::make_shared<Turns>();
  Turn mine(turns);
  mine.end();
  Turn held(turns);
  EXPECT_FALSE(mine.again([] { return true; }));
  std::atomic<bool> enough{false};
  std::thread waiting([&] { EXPECT_FALSE(mine.again([&] { return enough.load(); })); });
  wait_for(*turns, 1);
  enough = true;
  turns->look_again();
  waiting.join();
  EXPECT_FALSE(mine.held());
  EXPECT_TRUE(held.held());
}

TEST(Turns, GoByPriorityThenByWhatIsDueThenByAge) {
  const auto turns = std::make_shared<Turns>();
  Turn held(turns);
  EXPECT_FALSE(turns->free());
  const std::vector<exec::Urgency> urgencies = {{1, 5}, {1, 3}, {2, 9}, {2, 8}, {1, 3}};
  const std::vector<std::size_t> wanted = {3, 2, 1, 4, 0};
  std::vector<std::size_t> order;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < urgencies.size(); ++i) {
    threads.emplace_back([&, i] {
      Turn turn(turns, urgencies[i]);
      EXPECT_FALSE(turn.held());
      turn.begin();
      order.push_back(i);  // one at a time has a turn
    });
    wait_for(*turns, i + 1);
  }
  held.end();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(order, wanted);
  EXPECT_TRUE(turns->free());
}

TEST(Turns, TellWhenTheyAreGivenBackAndHadAgain) {
  const auto turns = std::make_shared<Turns>();
  std::vector<bool> told;
  {
    Turn turn(turns, {});
    turn.on_change([&](bool held) {
      told.push_back(held);
      EXPECT_EQ(turns->free(), false);  // before others can have it
    });
    turn.begin();
    EXPECT_TRUE(told.empty());
    turn.end();
    turn.end();
    EXPECT_TRUE(turn.again());
  }
  EXPECT_EQ(told, (std::vector<bool>{false, true, false}));
}

}  // namespace
}  // namespace cleave::tests
