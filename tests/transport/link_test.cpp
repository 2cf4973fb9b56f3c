#include "lib/transport/rate_of_arrival.hpp"

#include <cleave/transport/link_model.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave;
using core::BytesPerSecond;
using core::Seconds;
using transport::LinkModel;

TEST(LinkModel, BytesLeaveAtTheRateAndArriveADelayLater) {
  LinkModel model(BytesPerSecond(1000), Seconds(0.25), Seconds(0), 1);
  for (int i = 1; i <= 8; ++i) {  // all handed over at once
    const auto times = model.send(500, Seconds(10));
    EXPECT_DOUBLE_EQ(times.departs.count(), 10 + 0.5 * i);
    EXPECT_DOUBLE_EQ(times.arrives.count(), 10 + 0.5 * i + 0.25);
  }
  EXPECT_DOUBLE_EQ(model.backlog(Seconds(11)).count(), 3);
  EXPECT_DOUBLE_EQ(model.backlog(Seconds(20)).count(), 0);
  EXPECT_DOUBLE_EQ(model.send(500, Seconds(20)).departs.count(), 20.5);  // idle in between
}

TEST(LinkModel, JitterIsBoundedKeepsTheOrderAndFollowsTheSeed) {
  LinkModel a(BytesPerSecond(1e6), Seconds(0.01), Seconds(0.005), 3);
  LinkModel b(BytesPerSecond(1e6), Seconds(0.01), Seconds(0.005), 3);
  LinkModel c(BytesPerSecond(1e6), Seconds(0.01), Seconds(0.005), 4);
  double last = 0, differences = 0;
  for (int i = 0; i < 1000; ++i) {
    const auto times = a.send(100, Seconds(0));
    EXPECT_EQ(times.arrives, b.send(100, Seconds(0)).arrives);
    differences += times.arrives != c.send(100, Seconds(0)).arrives ? 1 : 0;
    EXPECT_GE(times.arrives.count(), last);
    EXPECT_GE(times.arrives - times.departs, Seconds(0.01) - Seconds(1e-12));
    EXPECT_LE((times.arrives - times.departs).count(), 0.015 + 1e-12);
    last = times.arrives.count();
  }
  EXPECT_GT(differences, 100);
}

TEST(LinkModel, ANewRateHoldsForWhatIsSentFromNowOn) {
  LinkModel model(BytesPerSecond(100), Seconds(0), Seconds(0), 1);
  EXPECT_DOUBLE_EQ(model.send(100, Seconds(0)).departs.count(), 1);
  model.set(BytesPerSecond(1000), Seconds(2), Seconds(0));
  const auto times = model.send(100, Seconds(0));
  EXPECT_DOUBLE_EQ(times.departs.count(), 1.1);
  EXPECT_DOUBLE_EQ(times.arrives.count(), 3.1);
}

TEST(LinkModel, AnUnlimitedLinkOnlyDelays) {
  LinkModel model(transport::unlimited_rate, Seconds(0.1), Seconds(0), 1);
  for (int i = 0; i < 3; ++i)
    EXPECT_DOUBLE_EQ(model.send(1 << 20, Seconds(5)).arrives.count(), 5.1);
}

TEST(RateOfArrival, IsTheLinksRateWhateverCameWithTheFirstRead) {
  for (const std::size_t first : {0U, 100U, 400U}) {
    transport::RateOfArrival arrival;
    arrival.start(Seconds(5));
    arrival.add(first, Seconds(5));
    arrival.add(500 - first, Seconds(5) + Seconds((500.0 - static_cast<double>(first)) / 1000));
    arrival.add(500, Seconds(5) + Seconds((1000.0 - static_cast<double>(first)) / 1000));
    EXPECT_NEAR(arrival.whole().count(), 1.0, 1e-9);
    EXPECT_NEAR(arrival.rate()->count(), 1000, 1e-6);
  }
  transport::RateOfArrival at_once;
  at_once.start(Seconds(5));
  at_once.add(1000, Seconds(5));
  EXPECT_EQ(at_once.whole(), Seconds(0));
  EXPECT_FALSE(at_once.rate());
}

}  // namespace
