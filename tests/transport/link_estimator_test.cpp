#include "tests/support/simulated_link.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using core::Bytes;
using core::BytesPerSecond;
using core::Seconds;
using test::SimulatedLink;
using transport::LinkEstimate;
using transport::LinkEstimator;
using transport::LinkEstimatorOptions;
using transport::LinkProbe;

TEST(LinkEstimator, SaysNothingBeforeItHasSeenTheLink) {
  LinkEstimator estimator;
  EXPECT_FALSE(estimator.estimate());
  estimator.add_round_trip(Seconds(0.01), Seconds(1));
  EXPECT_FALSE(estimator.estimate());
  estimator.add_upload(Bytes(0), Seconds(1), Seconds(1));
  estimator.add_upload(Bytes(10), Seconds(0), Seconds(1));
  EXPECT_FALSE(estimator.estimate());
}

TEST(LinkEstimator, TakesTheOtherDirectionForOneNotSeenAndSaysSo) {
  LinkEstimator estimator;
  estimator.add_round_trip(Seconds(0.01), Seconds(1));
  estimator.add_upload(Bytes(1e6), Seconds(0.5), Seconds(2));
  const auto estimate = estimator.estimate();
  ASSERT_TRUE(estimate);
  EXPECT_DOUBLE_EQ(estimate->up.count(), 2e6);
  EXPECT_DOUBLE_EQ(estimate->down.count(), 2e6);
  EXPECT_TRUE(estimate->up_measured);
  EXPECT_FALSE(estimate->down_measured);
  EXPECT_EQ(estimate->measured_at, Seconds(2));
}

TEST(LinkEstimator, IgnoresOneOutlierAndFollowsAStepWithinTenSamples) {
  LinkEstimator estimator;
  estimator.add_round_trip(Seconds(0.01), Seconds(0));
  for (int i = 0; i < 20; ++i) estimator.add_upload(Bytes(1e5), Seconds(0.1), Seconds(i));
  estimator.add_upload(Bytes(1e5), Seconds(10), Seconds(20));
  EXPECT_DOUBLE_EQ(estimator.estimate()->up.count(), 1e6);
  for (int i = 0; i < 10; ++i) estimator.add_upload(Bytes(1e5), Seconds(1), Seconds(21 + i));
  EXPECT_DOUBLE_EQ(estimator.estimate()->up.count(), 1e5);
  estimator.reset();
  EXPECT_FALSE(estimator.estimate());
}

TEST(LinkEstimator, ASenderSlowerThanTheLinkShowsALeastBandwidth) {
  LinkEstimator estimator;
  estimator.add_round_trip(Seconds(0.01), Seconds(0));
  for (int i = 0; i < 6; ++i) estimator.add_upload(Bytes(1e6), Seconds(0.1), Seconds(i));
  for (int i = 0; i < 6; ++i) estimator.add_upload_at_least(Bytes(1e6), Seconds(2), Seconds(6 + i));
  EXPECT_DOUBLE_EQ(estimator.estimate()->up.count(), 1e7);
  for (int i = 0; i < 3; ++i)
    estimator.add_upload_at_least(Bytes(1e6), Seconds(0.02), Seconds(12 + i));
  EXPECT_DOUBLE_EQ(estimator.estimate()->up.count(), 5e7);
}

// An estimator that has seen `samples` equal uploads of 1e6 bytes a second and round trips of 10
// ms.
LinkEstimator settled(int samples = 9) {
  LinkEstimator estimator;
  for (int i = 0; i < samples; ++i) {
    estimator.add_round_trip(Seconds(0.01), Seconds(i * 0.2));
    estimator.add_upload(Bytes(1e5), Seconds(0.1), Seconds(i * 0.2));
  }
  return estimator;
}

TEST(LinkEstimator, MessagesTooShortForABandwidthTellNone) {
  LinkEstimator estimator;
  estimator.add_round_trip(Seconds(0.01), Seconds(1));
  for (int i = 0; i < 20; ++i) estimator.add_upload(Bytes(8191), Seconds(1e-3), Seconds(1 + i));
  EXPECT_FALSE(estimator.estimate());
  estimator.add_upload(Bytes(8192), Seconds(1e-3), Seconds(30));
  EXPECT_TRUE(estimator.estimate());
}

TEST(LinkEstimator, LongMessagesOutvoteShortOnes) {
  LinkEstimator estimator;
  estimator.add_round_trip(Seconds(1e-4), Seconds(0));
  // Six of 10 kB at 1 MB/s against three of 1 MB at 1.15 MB/s: 6 x 0.23 < 3 x 0.97.
  for (int i = 0; i < 3; ++i) {
    estimator.add_upload(Bytes(1e4), Seconds(1e-2), Seconds(i));
    estimator.add_upload(Bytes(1e4), Seconds(1e-2), Seconds(i + 0.3));
    estimator.add_upload(Bytes(1e6), Seconds(1 / 1.15), Seconds(i + 0.9));
  }
  EXPECT_NEAR(estimator.estimate()->up.count(), 1.15e6, 1);
}

TEST(LinkEstimator, ConfidenceGrowsWithAgreementAndHalvesWithEachHalfLife) {
  const auto confidence = [](int samples) { return settled(samples).estimate()->up_confidence; };
  const double weight = 1e5 / (1e5 + 32768);
  for (const int n : {1, 2, 3, 9}) {
    const double half_width = 1.96 * 1.2533 * (0.5 / n) / std::sqrt(n * weight);
    EXPECT_NEAR(confidence(n), 1 / (1 + std::pow(half_width / 0.5, 2)), 1e-9);
  }
  const LinkEstimator estimator = settled();
  const auto fresh = *estimator.estimate();
  EXPECT_GT(fresh.round_trip_confidence, 0.98);
  EXPECT_DOUBLE_EQ(fresh.down_confidence, fresh.up_confidence / 2);  // not seen itself
  const auto later = *estimator.estimate(estimator.estimate()->measured_at + Seconds(20));
  EXPECT_NEAR(later.up_confidence, fresh.up_confidence / 4, 1e-12);
  EXPECT_NEAR(later.round_trip_confidence, fresh.round_trip_confidence / 4, 1e-12);
  EXPECT_NEAR(later.up_age.count(), 20, 1e-12);
  EXPECT_EQ(later.up, fresh.up);
  // Scatter costs confidence, and so does a sample in doubt.
  LinkEstimator scattered, doubted = settled();
  for (int i = 0; i < 9; ++i) {
    scattered.add_round_trip(Seconds(0.01), Seconds(i));
    scattered.add_upload(Bytes(1e5), Seconds(0.1 * (0.5 + i % 3)), Seconds(i));
  }
  EXPECT_LT(scattered.estimate()->up_confidence, 0.75);
  doubted.add_upload(Bytes(1e5), Seconds(1), Seconds(2));
  EXPECT_LT(doubted.estimate()->up_confidence, fresh.up_confidence * 0.51);
}

TEST(LinkEstimator, ASampleFromLongAgoDoesNotSpeakForToday) {
  LinkEstimator estimator = settled();
  estimator.add_upload(Bytes(1e5), Seconds(0.4), Seconds(100));
  EXPECT_DOUBLE_EQ(estimator.estimate()->up.count(), 2.5e5);
}

constexpr double tolerance = 0.2;

bool near(double value, double right) {
  return std::abs(value / right - 1) <= tolerance;
}

bool near(const LinkEstimate& estimate, const SimulatedLink::Shape& shape) {
  return near(estimate.up.count(), shape.up.count()) &&
         near(estimate.down.count(), shape.down.count()) &&
         near(estimate.round_trip.count(), 2 * shape.delay.count());
}

SimulatedLink::Shape shape(double up_mbit, double down_mbit, double delay_ms, double jitter_ms) {
  return {core::megabits_per_second(up_mbit), core::megabits_per_second(down_mbit),
          core::milliseconds(delay_ms), core::milliseconds(jitter_ms), false};
}

// Each kind of link steps in rate and delay, up and down by factors of two and more. The requests
// follow one another, or come one a second, with 64 kB to 1 MB up and as much or a quarter down.
TEST(LinkEstimator, AStepIsFollowedWithinTenRequestsOverManySeeds) {
  const auto with = [](SimulatedLink::Shape s, double rate, double delay) {
    s.up = s.up * rate;
    s.down = s.down * rate;
    s.delay = s.delay * delay;
    return s;
  };
  int trials = 0, late = 0;
  for (const auto& before : {shape(4, 12, 30, 2), shape(20, 50, 10, 0.5), shape(80, 80, 2, 0.05)})
    for (const auto& [rate, delay] : {std::pair(0.5, 1.0),
                                      {2.0, 1.0},
                                      {0.1, 1.0},
                                      {10.0, 1.0},
                                      {1.0, 2.0},
                                      {1.0, 0.5},
                                      {0.25, 4.0},
                                      {4.0, 0.5}})
      for (const std::size_t bytes : {64'000U, 250'000U, 1'000'000U})
        for (const double gap : {0.0, 1.0})
          for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            const auto after = with(before, rate, delay);
            // What takes no longer than the jitter's chance tells no rate.
            if (core::Bytes(static_cast<double>(bytes / 4)) / after.down < 5 * after.jitter)
              continue;
            SimulatedLink link(before, seed);
            LinkEstimator estimator;
            for (int i = 0; i < 15; ++i) {
              link.pause(Seconds(gap));
              link.request(bytes, bytes / 4, estimator);
            }
            EXPECT_TRUE(near(*estimator.estimate(), before)) << bytes;
            link.set(after);
            for (int i = 0; i < 10; ++i) {
              link.pause(Seconds(gap));
              link.request(bytes, bytes / 4, estimator);
            }
            ++trials;
            const bool in_time = near(*estimator.estimate(), after);
            late += in_time ? 0 : 1;
            EXPECT_TRUE(in_time) << "rate x" << rate << " delay x" << delay << " from "
                                 << before.up.count() << " B/s, " << before.delay.count() << " s, "
                                 << bytes << " bytes, gap " << gap << ": up "
                                 << estimator.estimate()->up.count() / after.up.count() << " down "
                                 << estimator.estimate()->down.count() / after.down.count()
                                 << " round trip "
                                 << estimator.estimate()->round_trip / (after.delay * 2.0);
          }
  EXPECT_EQ(trials, 630);
  EXPECT_EQ(late, 0);
}

// A client that sends what wants_probe() asks for whenever the link is idle.
struct ProbingClient {
  SimulatedLink& link;
  LinkEstimator& estimator;
  int probes = 0;

  void idle_until(Seconds end) {
    while (link.now() < end) {
      if (const auto probe = estimator.wants_probe(link.now())) {
        estimator.probe_sent(link.now());
        link.request(probe->up, probe->down, estimator);
        ++probes;
      } else {
        link.pause(core::milliseconds(50));
      }
    }
  }
};

TEST(LinkEstimator, AnIdleLinksStepIsKnownWithinASecondWhereProbesAreNotSpared) {
  for (const auto& [rate, delay] : {std::pair(0.5, 1.0), {2.0, 1.0}, {0.2, 1.0}, {1.0, 3.0}})
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      LinkEstimatorOptions options;
      options.last_probe = options.first_probe = Seconds(0.25);
      LinkEstimator estimator(options);
      auto kind = shape(20, 20, 10, 0.5);
      SimulatedLink link(kind, seed);
      ProbingClient client{link, estimator};
      client.idle_until(Seconds(20));
      ASSERT_TRUE(near(*estimator.estimate(), kind)) << seed;
      kind.up = kind.up * rate;
      kind.down = kind.down * rate;
      kind.delay = kind.delay * delay;
      link.set(kind);
      client.idle_until(link.now() + Seconds(1));
      EXPECT_TRUE(near(*estimator.estimate(), kind))
          << seed << ": rate x" << rate << " delay x" << delay;
    }
}

// One request every two seconds: the first that is in doubt brings the probes that settle it.
TEST(LinkEstimator, AStepIsKnownASecondAfterTheFirstOfRareRequests) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    LinkEstimator estimator;
    auto kind = shape(20, 20, 10, 0.5);
    SimulatedLink link(kind, seed);
    ProbingClient client{link, estimator};
    for (int i = 0; i < 10; ++i) {
      link.request(100'000, 20'000, estimator);
      client.idle_until(link.now() + Seconds(2));
    }
    ASSERT_TRUE(near(*estimator.estimate(), kind)) << seed;
    kind.up = kind.up * 0.4;
    kind.down = kind.down * 0.4;
    link.set(kind);
    const Seconds begin = link.now();
    link.request(100'000, 20'000, estimator);
    client.idle_until(begin + Seconds(1));
    EXPECT_TRUE(near(*estimator.estimate(), kind)) << seed;
  }
}

TEST(LinkEstimator, OneOutlierMovesNothingByMoreThanATenth) {
  for (const double factor : {0.001, 0.1, 0.5, 2.0, 10.0, 1000.0})
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      LinkEstimator estimator;
      SimulatedLink link(shape(20, 50, 10, 1), seed);
      for (int i = 0; i < 20; ++i) link.request(200'000, 50'000, estimator);
      const LinkEstimate before = *estimator.estimate();
      estimator.add_upload(Bytes(10e6), Seconds(10e6 / before.up.count() / factor), link.now());
      estimator.add_download(Bytes(50e3), Seconds(50e3 / before.down.count() / factor), link.now());
      estimator.add_round_trip(before.round_trip * factor, link.now());
      const LinkEstimate after = *estimator.estimate();
      EXPECT_NEAR(after.up / before.up, 1, 0.1) << seed;
      EXPECT_NEAR(after.down / before.down, 1, 0.1) << seed;
      EXPECT_NEAR(after.round_trip / before.round_trip, 1, 0.1) << seed;
    }
}

// Of a transfer that a segment-by-segment simulation of slow start makes.
TEST(LinkEstimator, TheBandwidthBehindSlowStartIsThatOfTheLink) {
  int told_well = 0;
  for (const double mbit : {2.0, 10.0, 50.0})
    for (const double delay : {5.0, 25.0, 80.0})
      for (const std::size_t bytes : {30'000U, 100'000U, 500'000U, 4'000'000U}) {
        auto kind = shape(mbit, mbit, delay, 0);
        kind.slow_start = true;
        LinkEstimator unused;
        SimulatedLink link(kind, 1);
        link.request(0, bytes, unused);
        const double whole = static_cast<double>(bytes);
        const double told = transport::bandwidth_behind_slow_start(
                                Bytes(whole), link.latest_arrival(), kind.delay * 2.0)
                                .count();
        const std::string what = std::to_string(mbit) + " Mbit/s, " + std::to_string(delay) +
                                 " ms, " + std::to_string(bytes) + " bytes";
        EXPECT_GE(told, kind.up.count() * 0.85) << what;
        EXPECT_GE(told, whole / link.latest_arrival().count() * 0.999) << what;
        // Where the link was full for most of the time.
        if (whole > 8 * kind.up.count() * 2 * kind.delay.count()) {
          EXPECT_LE(told, kind.up.count() * 1.1) << what;
          ++told_well;
        }
      }
  EXPECT_GT(told_well, 10);
}

// Behind slow start the estimate lies between what short transfers show and what the link can do,
// and one long transfer among the short ones brings it near.
TEST(LinkEstimator, ShortTransfersInSlowStartDoNotPullTheEstimateDown) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    auto kind = shape(50, 50, 25, 1);
    kind.slow_start = true;
    LinkEstimator estimator;
    SimulatedLink link(kind, seed);
    std::vector<double> shown;
    for (int i = 0; i < 12; ++i) {
      link.pause(Seconds(1));
      LinkEstimator alone;
      SimulatedLink copy = link;
      copy.request(60'000, 100, alone);
      shown.push_back(alone.estimate()->up.count());
      link.request(60'000, 100, estimator);
    }
    const double among_short = estimator.estimate()->up.count();
    EXPECT_GE(among_short, *std::min_element(shown.begin(), shown.end()));
    EXPECT_LE(among_short, kind.up.count() * 1.2);
    for (int i = 0; i < 3; ++i) {
      link.pause(Seconds(1));
      link.request(8'000'000, 100, estimator);
      for (int k = 0; k < 2; ++k) {
        link.pause(Seconds(1));
        link.request(60'000, 100, estimator);
      }
    }
    EXPECT_TRUE(near(estimator.estimate()->up.count(), kind.up.count()))
        << estimator.estimate()->up.count() / kind.up.count();
  }
}

TEST(LinkEstimator, AProbeCarriesTwentyMillisecondsOfTheBandwidthWithinBounds) {
  const auto probe_at = [](double rate) {
    LinkEstimator estimator;
    estimator.add_round_trip(Seconds(0.01), Seconds(1));
    estimator.add_upload(Bytes(1e5), Seconds(1e5 / rate), Seconds(1));
    estimator.add_download(Bytes(1e5), Seconds(2e5 / rate), Seconds(1));
    return *estimator.wants_probe(Seconds(5));
  };
  EXPECT_EQ(probe_at(1e3).up, 16U << 10);
  EXPECT_EQ(probe_at(5e6).up, 100'000U);
  EXPECT_EQ(probe_at(5e6).down, 50'000U);
  EXPECT_EQ(probe_at(1e9).up, 256U << 10);
}

TEST(LinkEstimator, ProbesGetRarerWhileTheyFindNothingNewAndStopWhileOneIsUnderWay) {
  LinkEstimator estimator = settled();
  double now = estimator.estimate()->measured_at.count();
  EXPECT_FALSE(estimator.wants_probe(Seconds(now + 0.49)));
  std::vector<double> gaps;
  for (int i = 0; i < 8; ++i) {
    double at = now;
    while (!estimator.wants_probe(Seconds(at))) at += 0.01;
    gaps.push_back(at - now);
    estimator.probe_sent(Seconds(at));
    EXPECT_FALSE(estimator.wants_probe(Seconds(at + 0.9)));
    now = at + 0.02;
    estimator.add_upload(Bytes(1e5), Seconds(0.1), Seconds(now));
    estimator.add_download(Bytes(1e5), Seconds(0.1), Seconds(now));
    estimator.add_round_trip(Seconds(0.01), Seconds(now));
  }
  for (std::size_t i = 0; i < gaps.size(); ++i)
    EXPECT_NEAR(gaps[i], std::min(30.0, 0.5 * std::exp2(i)), 0.02);
  // Traffic begins anew.
  estimator.add_round_trip(Seconds(0.01), Seconds(now + 1));
  EXPECT_FALSE(estimator.wants_probe(Seconds(now + 1.49)));
  ASSERT_TRUE(estimator.wants_probe(Seconds(now + 1.51)));
  // A probe that is lost is not waited for longer than a second and two intervals.
  estimator.probe_sent(Seconds(now + 2));
  EXPECT_FALSE(estimator.wants_probe(Seconds(now + 4.9)));
  EXPECT_TRUE(estimator.wants_probe(Seconds(now + 5.1)));
  // A sample in doubt asks for one at once, in its direction.
  estimator.add_round_trip(Seconds(0.01), Seconds(now + 6));
  estimator.add_upload(Bytes(1e5), Seconds(0.1), Seconds(now + 6));
  estimator.add_download(Bytes(1e5), Seconds(0.5), Seconds(now + 6));
  const auto probe = estimator.wants_probe(Seconds(now + 6));
  ASSERT_TRUE(probe);
  EXPECT_EQ(probe->up, 0U);
  EXPECT_GT(probe->down, 0U);
}

}  // namespace
