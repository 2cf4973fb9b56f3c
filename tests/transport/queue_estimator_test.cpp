#include <cleave/transport/queue_estimator.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace {

using cleave::core::milliseconds;
using cleave::core::Seconds;
using cleave::transport::QueueEstimator;

TEST(QueueEstimator, KnowsOfNoneBeforeItWasTold) {
  EXPECT_EQ(QueueEstimator().estimate(Seconds(5)), Seconds(0));
}

TEST(QueueEstimator, AConstantQueueStaysAsItIs) {
  QueueEstimator queue;
  for (int i = 0; i < 50; ++i) {
    const Seconds now(0.3 * i);
    queue.add(milliseconds(80), now);
    for (const double age : {0.0, 0.1, 0.29})
      EXPECT_EQ(queue.estimate(now + Seconds(age)), milliseconds(80));
  }
}

// With a steady slope the trend lacks (1 - share)^n of it, n readings after the first.
TEST(QueueEstimator, FollowsASteadyGrowthByTheClosedForm) {
  constexpr double slope = 0.2, step = 0.1;
  QueueEstimator queue;
  for (int n = 0; n < 30; ++n) {
    const double at = step * n;
    queue.add(Seconds(slope * at), Seconds(at));
    const double trend = slope * (1 - std::pow(1 - QueueEstimator::share, n));
    EXPECT_NEAR(queue.estimate(Seconds(at + 0.07)).count(), slope * at + 0.07 * trend, 1e-12);
  }
}

TEST(QueueEstimator, IsNotCarriedBelowWhatWasToldAndNeverBelowNothing) {
  QueueEstimator queue;
  for (int n = 0; n <= 10; ++n) {
    const Seconds now(0.1 * n), waits = milliseconds(200 - 20.0 * n);
    queue.add(waits, now);
    EXPECT_EQ(queue.estimate(now + Seconds(0.5)), waits);
  }
  EXPECT_EQ(queue.estimate(Seconds(3)), Seconds(0));
  // And what it learnt of shrinking does not delay what it learns of growing by more than a
  // reading.
  queue.add(milliseconds(100), Seconds(1.1));
  EXPECT_GT(queue.estimate(Seconds(1.2)), milliseconds(100));
}

TEST(QueueEstimator, ItsTrendIsBounded) {
  QueueEstimator queue;
  queue.add(Seconds(0), Seconds(0));
  queue.add(milliseconds(500), milliseconds(1));  // two requests side by side
  EXPECT_LE(queue.estimate(milliseconds(101)),
            milliseconds(500) + QueueEstimator::steepest * milliseconds(100) + milliseconds(1e-9));
}

TEST(QueueEstimator, FadesWithoutNewsAndMoreSlowlyWhereItWasWrongTo) {
  const double hold = QueueEstimator::first_hold.count();
  QueueEstimator queue;
  queue.add(milliseconds(100), Seconds(0));
  EXPECT_EQ(queue.estimate(Seconds(hold)), milliseconds(100));
  EXPECT_NEAR(queue.estimate(Seconds(hold + 1)).count(), 0.1 * std::exp(-1), 1e-12);
  // Still there: twice as long, and so on up to the longest.
  double at = 0, wait = hold;
  for (int i = 0; i < 8; ++i) {
    at += wait + 1;
    queue.add(milliseconds(100), Seconds(at));
    wait = std::min(2 * wait, QueueEstimator::longest_hold.count());
    EXPECT_EQ(queue.estimate(Seconds(at + wait)), milliseconds(100));
    EXPECT_LT(queue.estimate(Seconds(at + wait + 1)), milliseconds(40));
  }
  // Gone: as at first.
  queue.add(Seconds(0), Seconds(at + 1));
  queue.add(milliseconds(100), Seconds(at + 1000));
  EXPECT_LT(queue.estimate(Seconds(at + 1000 + 2 * hold + 9)), milliseconds(100));
}

TEST(QueueEstimator, WantsNewsOfAQueueNowAndThen) {
  const Seconds interval = QueueEstimator::interval;
  QueueEstimator queue;
  EXPECT_FALSE(queue.wants_news(Seconds(1000)));  // nothing is known of any
  queue.add(QueueEstimator::ignored, Seconds(1));
  EXPECT_FALSE(queue.wants_news(Seconds(1000)));
  queue.add(milliseconds(30), Seconds(2));
  EXPECT_FALSE(queue.wants_news(Seconds(2) + interval * 0.99));
  EXPECT_TRUE(queue.wants_news(Seconds(2) + interval));
  // Not again until there was time for an answer.
  queue.asked(Seconds(5));
  EXPECT_FALSE(queue.wants_news(Seconds(5) + interval * 0.99));
  EXPECT_TRUE(queue.wants_news(Seconds(5) + interval));
  // With news it neither fades nor, once it is gone, is asked for.
  for (int i = 1; i < 100; ++i) {
    queue.add(milliseconds(30), Seconds(5) + interval * i);
    EXPECT_GE(queue.estimate(Seconds(5) + interval * (i + 0.9)), milliseconds(30));
  }
  queue.add(Seconds(0), Seconds(100));
  EXPECT_FALSE(queue.wants_news(Seconds(200)));
}

TEST(QueueEstimator, LeavesOutWhatCannotBe) {
  QueueEstimator queue;
  queue.add(milliseconds(50), Seconds(2));
  queue.add(Seconds(-1), Seconds(3));
  queue.add(Seconds(std::nan("")), Seconds(3));
  queue.add(Seconds(9), Seconds(1));
  EXPECT_EQ(queue.estimate(Seconds(3)), milliseconds(50));
}

}  // namespace
