// How long a request waits for the cloud, against a calculation by hand.
#include "lib/runtime/waiting.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace cleave {
namespace {

using core::milliseconds;
using core::Seconds;
using runtime::Hedge;

// A head of 5 ms, 2 ms of 3 ms of encoding before anything can be sent, and a reply that is there
// after 17 ms, after 27 ms at the most. The tail would take 60 ms here.
class Waiting : public testing::Test {
 protected:
  Waiting() {
    decision.prediction.latency.edge_compute = milliseconds(5);
    decision.prediction.latency.encode = milliseconds(3);
    decision.prediction.latency.decode = milliseconds(1);
    decision.prediction.latency.cloud_compute = milliseconds(4);
    decision.edge_wait = milliseconds(40);  // which is over when the head begins
    decision.edge_hold = milliseconds(5 + 3);
    decision.bound = milliseconds(40 + 27);
    in.encode_first = milliseconds(2);
  }
  [[nodiscard]] exec::ExecuteOptions with(Seconds left, Hedge hedge, int under_way = 1) const {
    return runtime::waiting(left, decision, in, tail, under_way, hedge);
  }

  scheduler::Decision decision;
  table::Ingredients in;
  Seconds tail = milliseconds(60);
};

TEST_F(Waiting, TheEdgeBeginsAtTheLastMoment) {
  const auto made = with(milliseconds(100), Hedge::last_moment);
  EXPECT_NEAR(made.hedge.count(), 0.040, 1e-12);
  EXPECT_NEAR(made.patience.count(), 0.060 + 0.060, 1e-12);  // normal, 2 * 20 + 20 ms, and the tail
  EXPECT_EQ(made.remaining, made.patience);
  EXPECT_EQ(made.local_tail, milliseconds(60));
  EXPECT_NEAR(made.cloud_work.count(), 0.005, 1e-12);
  EXPECT_NEAR(with(milliseconds(69), Hedge::last_moment).hedge.count(), 0.009, 1e-12);
}

TEST_F(Waiting, OrWhenTheReplyIsOverdue) {
  EXPECT_NEAR(with(milliseconds(100), Hedge::overdue).hedge.count(), 0.040, 1e-12);
  EXPECT_NEAR(with(milliseconds(69), Hedge::overdue).hedge.count(), 0.027, 1e-12);
  // Two others are before it.
  EXPECT_NEAR(with(milliseconds(69), Hedge::overdue, 3).hedge.count(), 0.067, 1e-12);
}

TEST_F(Waiting, WhoIsTooLateAloneWaitsForAsLongAsIsNormal) {
  for (const Hedge hedge : {Hedge::last_moment, Hedge::overdue}) {
    // Also who would be in time with the tail, but not with head and tail, or with changing knobs.
    for (const double left : {59, 67})
      EXPECT_NEAR(with(milliseconds(left), hedge).hedge.count(), 0.007 + 0.060, 1e-12);
    EXPECT_NEAR(with(milliseconds(59), hedge, 3).hedge.count(), 0.007 + 0.140, 1e-12);
    decision.switching = milliseconds(2);
    EXPECT_NEAR(with(milliseconds(69), hedge).hedge.count(), 0.007 + 0.060, 1e-12);
    decision.switching = {};
    const auto none = with(Seconds(std::numeric_limits<double>::infinity()), hedge);
    EXPECT_NEAR(none.patience.count(), 1.060, 1e-12);
    EXPECT_GT(none.hedge, Seconds(1e9));
  }
}

}  // namespace
}  // namespace cleave
