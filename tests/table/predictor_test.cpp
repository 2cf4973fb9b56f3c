#include "tests/table/sample.hpp"

#include <cleave/table/predictor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace {

using namespace cleave;
using core::Bytes;
using core::Errc;
using core::milliseconds;
using core::Seconds;
using core::Watts;
using table::compose;
using table::Ingredients;
using table::LinkState;
using table::price;
using tests::sample_configuration;
using tests::sample_profile;

constexpr LinkState link_10ms{.round_trip = milliseconds(10),
                              .up = core::BytesPerSecond(2.5e6),
                              .down = core::BytesPerSecond(5e6)};

Ingredients random_ingredients(std::mt19937_64& engine) {
  std::uniform_real_distribution<double> time(0, 0.05);
  std::uniform_real_distribution<double> power(0.1, 50);
  Ingredients in;
  in.uses_cloud = true;
  for (Seconds* t : {&in.edge_compute, &in.cloud_compute, &in.encode_first, &in.encode_rest,
                     &in.decode_rest, &in.decode_last, &in.overhead})
    *t = Seconds(time(engine));
  in.up = Bytes(time(engine) * 1e7);
  in.down = Bytes(time(engine) * 1e5);
  in.ramp_round_trips = time(engine) * 40;
  for (Watts* p : {&in.edge_busy, &in.edge_idle, &in.cloud_device, &in.cloud_machine})
    *p = Watts(power(engine));
  in.transmit = core::JoulesPerByte(1e-7);
  in.receive = core::JoulesPerByte(2e-7);
  return in;
}

TEST(Price, SumsMeanStepTimesOnEitherSideOfTheCut) {
  const auto p = sample_profile();
  // Steps take 1..5 ms at the edge's level 1, four times that at level 0, 0.2..1 ms in the cloud.
  const auto in = price(p, sample_configuration(p, 1, "int8", 1));
  ASSERT_TRUE(in) << in.error().message();
  EXPECT_NEAR(in->edge_compute.count(), 0.003, 1e-12);
  EXPECT_NEAR(in->cloud_compute.count(), 0.0024, 1e-12);
  const auto slow = price(p, sample_configuration(p, 2, "raw", 0));
  ASSERT_TRUE(slow);
  EXPECT_NEAR(slow->edge_compute.count(), 0.040, 1e-12);
  EXPECT_NEAR(slow->cloud_compute.count(), 0.001, 1e-12);
}

TEST(Price, DividesTheCodecsCostAtTheFirstAndLastChunk) {
  const auto p = sample_profile();
  const auto in = price(p, sample_configuration(p, 1, "int8", 1));  // 100,000 raw bytes
  ASSERT_TRUE(in);
  EXPECT_NEAR(in->encode_first.count(), 5e-6 + 3e-9 * 16384, 1e-15);
  EXPECT_NEAR(in->encode_rest.count(), 3e-9 * (100000 - 16384), 1e-15);
  EXPECT_NEAR(in->decode_last.count(), 0.2e-9 * 16384, 1e-15);
  EXPECT_NEAR(in->decode_rest.count(), 1.2e-6 + 0.2e-9 * (100000 - 16384), 1e-15);
}

TEST(Price, WithoutChunksEverythingIsEncodedFirstAndDecodedLast) {
  auto p = sample_profile();
  p.chunk = Bytes(0);
  const auto in = price(p, sample_configuration(p, 1, "int8", 1));
  ASSERT_TRUE(in);
  EXPECT_NEAR(in->encode_first.count(), 5e-6 + 3e-9 * 100000, 1e-15);
  EXPECT_EQ(in->encode_rest, Seconds());
  EXPECT_EQ(in->decode_rest, Seconds());
  EXPECT_NEAR(in->decode_last.count(), 1.2e-6 + 0.2e-9 * 100000, 1e-15);
}

TEST(Price, InterpolatesTheRampOverTheLogarithmOfTheSize) {
  const auto p = sample_profile();
  const auto ramp = [&](double bytes, double seconds) { return (seconds - bytes / 2.5e6) / 0.010; };
  // int8 at cut 2 puts 5,080 bytes on the wire, between the samples of 1,000 and 10,000.
  const double share = std::log10(5.080);
  const double expected = ramp(1000, 0.001) + share * (ramp(10000, 0.009) - ramp(1000, 0.001));
  const auto in = price(p, sample_configuration(p, 2, "int8", 1));
  ASSERT_TRUE(in);
  EXPECT_NEAR(in->ramp_round_trips, expected, 1e-12);
  // Beyond the largest sample its ramp stays.
  const auto large = price(p, sample_configuration(p, 1, "raw", 1));
  ASSERT_TRUE(large);
  EXPECT_NEAR(large->ramp_round_trips, ramp(100000, 0.060), 1e-12);
}

TEST(Price, ATransferFasterThanTheBandwidthHasNoRamp) {
  auto p = sample_profile();
  for (auto& sample : p.link.sizes) sample.time = sample.bytes / p.link.up * 0.5;
  const auto in = price(p, sample_configuration(p, 1, "raw", 1));
  ASSERT_TRUE(in);
  EXPECT_EQ(in->ramp_round_trips, 0);
}

TEST(Price, TakesPowerOfTheSettingsAndWhatTheRequestAddsToTheCloud) {
  const auto p = sample_profile();
  const auto in = price(p, sample_configuration(p, 1, "raw", 0));
  ASSERT_TRUE(in);
  EXPECT_EQ(in->edge_busy, Watts(2.5));
  EXPECT_EQ(in->edge_idle, Watts(0.625));
  EXPECT_EQ(in->cloud_device, Watts(60 - 15));
  EXPECT_EQ(in->cloud_machine, Watts(90));
}

TEST(Price, EnergyIsMeasuredOnlyIfEveryHostsPowerWas) {
  auto p = sample_profile();
  const auto split = sample_configuration(p, 1, "raw", 0);
  EXPECT_EQ(price(p, split)->origin, core::Origin::modelled);
  p.hosts[0].settings[0].power_origin = core::Origin::measured;
  EXPECT_EQ(price(p, split)->origin, core::Origin::measured);
  p.hosts[1].settings[0].power_origin = core::Origin::modelled;
  EXPECT_EQ(price(p, split)->origin, core::Origin::modelled);
  EXPECT_EQ(price(p, sample_configuration(p, 3, "raw", 0))->origin, core::Origin::measured);
}

TEST(Price, SpreadAddsHostsAndLinkInQuadratureOverTheWholeLatency) {
  const auto p = sample_profile();
  const auto in = price(p, sample_configuration(p, 1, "int8", 1));
  ASSERT_TRUE(in);
  // Either host's whole pass spreads by 5 %, the round trip by 1.5 ms.
  const double edge = 0.05 * (0.003 + 5e-6 + 3e-9 * 100000);
  const double cloud = 0.05 * (0.0024 + 1.2e-6 + 0.2e-9 * 100000);
  const double total = compose(*in, table::link_of(p), Seconds()).latency.total().count();
  const double expected = std::sqrt(edge * edge + cloud * cloud + 0.0015 * 0.0015) / total;
  EXPECT_NEAR(in->spread, expected, 1e-12);
}

TEST(Price, AllEdgeNeedsNeitherLinkNorCloud) {
  auto p = sample_profile();
  p.hosts[1] = {};
  p.link = {};
  auto configuration = sample_configuration(p, 3, "no such codec", 1);
  configuration.stages[1].levels.clear();
  const auto in = price(p, configuration);
  ASSERT_TRUE(in) << in.error().message();
  EXPECT_FALSE(in->uses_cloud);
  const auto out = compose(*in, LinkState{}, Seconds(1e9));
  EXPECT_NEAR(out.latency.total().count(), 0.015, 1e-12);
  EXPECT_NEAR(out.energy.total(core::Boundary::edge_cloud_machine).count(), 0.015 * 6, 1e-12);
  EXPECT_DOUBLE_EQ(in->accuracy.value, 0.92);
}

TEST(Price, ALosslessCodecScoresWhatTheModelScoresElsewhere) {
  auto p = sample_profile();
  p.cuts[1].codecs[0].accuracy = {};
  EXPECT_DOUBLE_EQ(price(p, sample_configuration(p, 1, "raw", 1))->accuracy.value, 0.92);
  for (auto& cut : p.cuts)
    for (auto& codec : cut.codecs) codec.accuracy = {};
  const auto in = price(p, sample_configuration(p, 1, "raw", 1));
  EXPECT_EQ(in->accuracy.value, 1);
  EXPECT_EQ(in->accuracy.samples, 0u);
  EXPECT_EQ(in->accuracy.basis, table::Accuracy::Basis::none);
}

TEST(Price, SaysWhatTheProfileLacks) {
  auto p = sample_profile();
  const auto code = [&](const core::Configuration& c) {
    const auto in = price(p, c);
    return in ? std::string("priced") : std::string(to_string(in.error().code));
  };
  auto c = sample_configuration(p, 1, "raw", 1);
  c.stages[0].end = {77};
  EXPECT_EQ(code(c), to_string(Errc::not_found));
  EXPECT_EQ(code(sample_configuration(p, 1, "fp16", 1)), to_string(Errc::not_found));
  EXPECT_EQ(code(sample_configuration(p, 1, "raw", 9)), to_string(Errc::not_found));
  c = sample_configuration(p, 1, "raw", 1);
  c.stages[1].levels = {1};
  EXPECT_EQ(code(c), to_string(Errc::not_found));
  c = sample_configuration(p, 1, "raw", 1);
  c.stages.pop_back();
  EXPECT_EQ(code(c), to_string(Errc::invalid_argument));
  c = sample_configuration(p, 1, "raw", 1);
  c.stages[1].end = p.cuts[2].id;
  EXPECT_EQ(code(c), to_string(Errc::invalid_argument));
  p.cuts[1].codecs[1].accuracy = {};
  EXPECT_EQ(code(sample_configuration(p, 1, "int8", 1)), to_string(Errc::invalid_argument));
  p = sample_profile();
  p.hosts[0].settings[1].steps.pop_back();
  EXPECT_EQ(code(sample_configuration(p, 1, "raw", 1)), to_string(Errc::invalid_argument));
  EXPECT_EQ(code({}), to_string(Errc::invalid_argument));
}

TEST(Compose, FollowsTheFormulaWhicheverOfTheThreeIsLongest) {
  std::mt19937_64 engine(7);
  int longest[3] = {};
  for (int i = 0; i < 2000; ++i) {
    const Ingredients in = random_ingredients(engine);
    const double queue = static_cast<double>(i % 5) * 0.004;
    const auto out = compose(in, link_10ms, Seconds(queue));
    const double transfer = in.up.count() / 2.5e6 + in.ramp_round_trips * 0.010;
    const double middle[] = {in.encode_rest.count(), transfer, in.decode_rest.count()};
    const auto* most = std::max_element(middle, middle + 3);
    ++longest[most - middle];
    const double expected = in.edge_compute.count() + in.encode_first.count() + *most +
                            in.decode_last.count() + 0.010 + queue + in.cloud_compute.count() +
                            in.down.count() / 5e6 + in.overhead.count();
    EXPECT_NEAR(out.latency.total().count(), expected, 1e-12);

    const double encode = in.encode_first.count() + in.encode_rest.count();
    const double cloud = in.decode_rest.count() + in.decode_last.count() + in.cloud_compute.count();
    const double busy = in.edge_compute.count() + encode;
    const double edge = in.edge_busy.count() * busy + in.edge_idle.count() * (expected - busy) +
                        1e-7 * in.up.count() + 2e-7 * in.down.count();
    EXPECT_NEAR(out.energy.total(core::Boundary::edge).count(), edge, 1e-9);
    EXPECT_NEAR(out.energy.total(core::Boundary::edge_cloud_device).count(),
                edge + in.cloud_device.count() * cloud, 1e-9);
    EXPECT_NEAR(out.energy.total(core::Boundary::edge_cloud_machine).count(),
                edge + in.cloud_machine.count() * cloud, 1e-9);
  }
  for (const int count : longest) EXPECT_GT(count, 100);
}

TEST(Compose, NeverGetsFasterOnAWorseLinkOrALongerQueue) {
  std::mt19937_64 engine(8);
  for (int i = 0; i < 500; ++i) {
    const Ingredients in = random_ingredients(engine);
    const auto latency = [&](double round_trip, double up, double down, double queue) {
      const LinkState link{.round_trip = milliseconds(round_trip),
                           .up = core::BytesPerSecond(up),
                           .down = core::BytesPerSecond(down)};
      return compose(in, link, milliseconds(queue)).latency.total();
    };
    const Seconds base = latency(10, 1e6, 1e6, 1);
    EXPECT_GT(latency(11, 1e6, 1e6, 1), base);
    EXPECT_GE(latency(10, 9e5, 1e6, 1), base);
    EXPECT_GT(latency(10, 1e6, 9e5, 1), base);
    EXPECT_GT(latency(10, 1e6, 1e6, 2), base);
  }
}

TEST(Compose, WaitingInTheQueueCostsTheCloudNothing) {
  std::mt19937_64 engine(9);
  const Ingredients in = random_ingredients(engine);
  const auto idle = compose(in, link_10ms, Seconds());
  const auto queued = compose(in, link_10ms, Seconds(1));
  EXPECT_EQ(queued.energy.cloud_machine, idle.energy.cloud_machine);
  EXPECT_EQ(queued.energy.cloud_device, idle.energy.cloud_device);
  EXPECT_NEAR((queued.energy.edge_wait - idle.energy.edge_wait).count(), in.edge_idle.count(),
              1e-9);
}

TEST(Compose, ALinkThatCarriesNothingTakesForEver) {
  std::mt19937_64 engine(10);
  Ingredients in = random_ingredients(engine);
  in.edge_idle = Watts(0);
  const auto out = compose(in, LinkState{}, Seconds());
  EXPECT_TRUE(std::isinf(out.latency.total().count()));
  EXPECT_FALSE(std::isnan(out.energy.total(core::Boundary::edge).count()));
  in.up = Bytes(0);
  in.down = Bytes(0);
  EXPECT_TRUE(std::isfinite(compose(in, LinkState{}, Seconds()).latency.total().count()));
}

TEST(Price, SumsTheStepsOfAHeadAcrossBranchesAndOfItsTail) {
  const table::Profile profile = tests::sample_graph_profile();
  core::Configuration configuration;
  configuration.stages = {{core::edge_host, {0x2001}, {0}, {{0, 2}, {3, 4}}},
                          {core::cloud_host, profile.cuts.back().id, {0}}};
  configuration.codecs = {"raw"};
  const auto priced = table::price(profile, configuration);
  ASSERT_TRUE(priced) << priced.error().message();
  // Steps take 1, 2, 3, 4 and 5 ms, times 4 on the edge at this level and 0.2 in the cloud.
  EXPECT_NEAR(priced->edge_compute.count(), 4e-3 * (1 + 2 + 4), 1e-12);
  EXPECT_NEAR(priced->cloud_compute.count(), 0.2e-3 * (3 + 5), 1e-12);
}

TEST(Price, APredictedSettingIsLessCertain) {
  const auto p = tests::sample_predicted_profile();
  const auto measured = price(p, sample_configuration(p, 4, "raw", 0));
  const auto predicted = price(p, sample_configuration(p, 4, "raw", 1));
  ASSERT_TRUE(measured && predicted);
  // Passes have a standard deviation of 5 %; the interval of 12.5 % holds 90 %.
  EXPECT_NEAR(measured->spread, 0.05, 1e-12);
  EXPECT_NEAR(predicted->spread, std::hypot(0.05, 0.125 / 1.6449), 1e-12);
}

TEST(Interval, IsWhatTheCheckOfSuchConfigurationsFound) {
  auto p = tests::sample_predicted_profile();
  const auto measured = sample_configuration(p, 2, "raw", 2);
  const auto predicted = sample_configuration(p, 2, "raw", 1);
  EXPECT_FALSE(is_predicted(p, measured));
  EXPECT_TRUE(is_predicted(p, predicted));
  EXPECT_EQ(*interval_of(p, measured), 0.12);
  EXPECT_EQ(*interval_of(p, predicted), 0.15);
  p.predicted_error.interval = 0;
  EXPECT_NEAR(*interval_of(p, predicted), std::hypot(0.12, 1.6449 * price(p, predicted)->spread),
              1e-12);
  p.error.interval = 0;
  EXPECT_NEAR(*interval_of(p, measured), 1.6449 * price(p, measured)->spread, 1e-12);
  EXPECT_NEAR(*interval_of(p, predicted), 1.6449 * price(p, predicted)->spread, 1e-12);
  // What runs nothing in the cloud does not depend on how the cloud's setting came about.
  p.hosts[core::cloud_host].settings[0].predicted = true;
  EXPECT_FALSE(is_predicted(p, sample_configuration(p, 4, "raw", 2)));
  EXPECT_TRUE(is_predicted(p, measured));
  auto unknown = measured;
  unknown.codecs = {"none"};
  EXPECT_EQ(interval_of(p, unknown).error().code, Errc::not_found);
}

TEST(PriceList, GivesWhatPriceGivesBitForBit) {
  const table::Profile p = tests::sample_predicted_profile();
  const auto list = table::PriceList::make(p);
  ASSERT_TRUE(list) << list.error().message();
  for (std::size_t cut = 0; cut < p.cuts.size(); ++cut)
    for (std::size_t codec = 0; codec < p.codecs.size(); ++codec)
      for (std::size_t edge = 0; edge < p.hosts[0].settings.size(); ++edge) {
        auto configuration = tests::sample_configuration(p, cut, p.codecs[codec], 0);
        configuration.stages[0].levels = p.hosts[0].settings[edge].levels;
        configuration.stages[0].head = p.cuts[cut].head;
        const auto priced = table::price(p, configuration);
        ASSERT_TRUE(priced) << priced.error().message();
        EXPECT_EQ(list->price(cut, codec, edge, 0), *priced);
      }
  table::Profile short_steps = p;
  short_steps.hosts[0].settings[1].steps.pop_back();
  EXPECT_EQ(table::PriceList::make(short_steps).error().code, core::Errc::invalid_argument);
  EXPECT_EQ(table::PriceList::make({}).error().code, core::Errc::invalid_argument);
}

}  // namespace
