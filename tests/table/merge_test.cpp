#include "tests/support/synthetic_profile.hpp"
#include "tests/table/sample.hpp"

#include <cleave/table/files.hpp>
#include <cleave/table/merge.hpp>
#include <cleave/table/predictor.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace {

using namespace cleave;
using core::milliseconds;
using core::Seconds;
using table::Accuracy;
using table::MergeChoice;
using table::MergeInput;
using table::Profile;
using table::Timing;
using tests::sample_located_profile;
using tests::sample_predicted_profile;

constexpr core::HostIndex edge = core::edge_host, cloud = core::cloud_host;

// By the book, of samples and not of summaries.
Timing timing_of(const std::vector<double>& samples) {
  const auto n = static_cast<double>(samples.size());
  const double mean = std::accumulate(samples.begin(), samples.end(), 0.0) / n;
  double squares = 0;
  for (const double x : samples) squares += (x - mean) * (x - mean);
  return {.mean = Seconds(mean),
          .median = Seconds(mean),
          .spread = Seconds(samples.size() > 1 ? std::sqrt(squares / (n - 1)) : 0),
          .samples = static_cast<std::uint32_t>(samples.size())};
}

void expect_near(const Timing& a, const Timing& b) {
  EXPECT_NEAR(a.mean / b.mean, 1, 1e-12);
  EXPECT_NEAR(a.spread.count(), b.spread.count(), 1e-12 * b.mean.count());
  EXPECT_EQ(a.samples, b.samples);
}

std::vector<MergeInput> named(std::vector<Profile> profiles) {
  std::vector<MergeInput> inputs;
  for (Profile& profile : profiles)
    inputs.push_back({std::string(1, static_cast<char>('A' + inputs.size())), std::move(profile)});
  return inputs;
}

table::MergedProfile merged(std::vector<Profile> profiles, const MergeChoice& choice = {}) {
  auto result = table::merge(named(std::move(profiles)), choice);
  EXPECT_TRUE(result) << result.error().message();
  return result ? std::move(*result) : table::MergedProfile();
}

std::string refusal(std::vector<Profile> profiles, const MergeChoice& choice = {}) {
  const auto result = table::merge(named(std::move(profiles)), choice);
  EXPECT_FALSE(result);
  return result ? "" : result.error().message();
}

bool contains(const std::vector<std::string>& notes, const std::string& text) {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.find(text) != std::string::npos; });
}

TEST(Pool, IsTheStatisticsOfTheSamplesTogether) {
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<double> all;
    std::vector<Timing> parts;
    const std::size_t count = 1 + random() % 4;
    for (std::size_t p = 0; p < count; ++p) {
      std::vector<double> part(1 + random() % 7);
      for (double& x : part) x = 0.001 + test::uniform(random) * 0.1;
      all.insert(all.end(), part.begin(), part.end());
      parts.push_back(timing_of(part));
    }
    expect_near(table::pool(parts), timing_of(all));
  }
}

TEST(Pool, TakesNoNoticeOfTimingsWithoutSamples) {
  const Timing measured = timing_of({1, 2, 4});
  Timing predicted = measured;
  predicted.mean = Seconds(9);
  predicted.samples = 0;
  expect_near(table::pool(std::vector{predicted, measured, predicted}), measured);
  EXPECT_EQ(table::pool(std::vector{predicted, predicted}), predicted);
}

TEST(Merge, AProfileWithItselfKeepsItsMeansAndDoublesItsCounts) {
  const Profile a = sample_located_profile();
  const auto both = merged({a, a});
  for (const core::HostIndex host : {edge, cloud}) {
    const auto &before = a.hosts[host], &after = both.profile.hosts[host];
    EXPECT_EQ(before.knobs, after.knobs);
    ASSERT_EQ(before.settings.size(), after.settings.size());
    for (std::size_t s = 0; s < after.settings.size(); ++s) {
      const auto &x = before.settings[s], &y = after.settings[s];
      EXPECT_EQ(y.levels, x.levels);
      EXPECT_NEAR(y.whole.mean / x.whole.mean, 1, 1e-12);
      EXPECT_EQ(y.whole.samples, 2 * x.whole.samples);
      EXPECT_EQ(y.busy, x.busy);
      // (2 (n - 1) s^2) / (2 n - 1): no more spread for having been counted twice.
      const double n = x.whole.samples;
      EXPECT_NEAR(y.whole.spread / x.whole.spread, std::sqrt(2 * (n - 1) / (2 * n - 1)), 1e-12);
      for (std::size_t i = 0; i < x.steps.size(); ++i)
        EXPECT_NEAR(y.steps[i].mean / x.steps[i].mean, 1, 1e-12);
    }
  }
  EXPECT_EQ(both.profile.cuts, a.cuts);
  EXPECT_NEAR(both.profile.link.up / a.link.up, 1, 1e-12);
  EXPECT_NEAR(both.profile.link.round_trip_spread / a.link.round_trip_spread, 1, 1e-12);
  EXPECT_EQ(both.profile.error, table::PredictionError());
  EXPECT_TRUE(contains(both.notes, "dropped: the error of the predictions"));
}

TEST(Merge, PooledStepsAddUpToThePooledPass) {
  Profile a = sample_located_profile(), b = a;
  for (auto& setting : b.hosts[edge].settings) {
    setting.whole.mean = setting.whole.mean * 1.3;
    setting.whole.samples = 7;
    for (std::size_t i = 0; i < setting.steps.size(); ++i) {
      setting.steps[i].mean = setting.steps[i].mean * 1.3;
      setting.steps[i].samples = static_cast<std::uint32_t>(50 - 10 * i);
    }
  }
  const auto both = merged({a, b}, {.cloud = {0}});
  for (const auto& setting : both.profile.hosts[edge].settings) {
    Seconds sum;
    for (const Timing& step : setting.steps) sum += step.mean;
    EXPECT_NEAR(sum / setting.whole.mean, 1, 1e-12);
  }
  // 40 passes of 60 ms and 7 of 78 ms.
  EXPECT_NEAR(both.profile.hosts[edge].settings[0].whole.mean.count(),
              (40 * 0.060 + 7 * 0.078) / 47, 1e-15);
}

TEST(Merge, LevelsThatDifferAreUnitedInOrder) {
  const Profile a = sample_located_profile();
  Profile b = a;
  b.hosts[edge].knobs[0].levels = {{"50 %", 0.5}, {"100 %", 1}};
  b.hosts[edge].settings[0].whole.mean = milliseconds(30);
  const auto both = merged({a, b}, {.cloud = {0}});
  const auto& half = both.profile.hosts[edge];
  ASSERT_EQ(half.knobs[0].levels.size(), 3U);
  EXPECT_EQ(half.knobs[0].levels[1].label, "50 %");
  ASSERT_EQ(half.settings.size(), 3U);
  EXPECT_EQ(half.settings[0].whole, a.hosts[edge].settings[0].whole);
  EXPECT_EQ(half.settings[1].levels, std::vector<core::LevelIndex>{1});
  EXPECT_EQ(half.settings[1].whole.mean, milliseconds(30));
  EXPECT_EQ(half.settings[2].whole.samples, 80U);
  EXPECT_TRUE(contains(both.notes, "3 settings, 1 of them pooled"));
}

TEST(Merge, HalvesAndLinkOfThreeDevices) {
  Profile a = sample_located_profile(), b = a, c = a;
  b.hosts[cloud].made_on.machine = "server-2";
  b.hosts[cloud].settings[0].whole.mean = b.hosts[cloud].settings[0].whole.mean * 0.5;
  b.hosts[edge].made_on.machine = "laptop";
  c.hosts[edge].made_on.machine = "laptop";
  c.link.up = core::megabits_per_second(3);
  c.hosts[edge].transmit = core::JoulesPerByte(9e-7);
  EXPECT_NE(refusal({a, b, c}).find("--edge-from"), std::string::npos);
  EXPECT_NE(refusal({a, b, c}, {.edge = {0}}).find("--cloud-from"), std::string::npos);
  EXPECT_NE(refusal({a, b, c}, {.edge = {0}, .cloud = {1}}).find("--link-from"), std::string::npos);
  const auto all = merged({a, b, c}, {.edge = {0}, .cloud = {1}, .link = {2}});
  EXPECT_EQ(all.profile.hosts[edge].settings, a.hosts[edge].settings);
  EXPECT_EQ(all.profile.hosts[cloud], b.hosts[cloud]);
  EXPECT_EQ(all.profile.link, c.link);
  EXPECT_EQ(all.profile.hosts[edge].transmit, core::JoulesPerByte(9e-7));
  EXPECT_TRUE(contains(all.notes, "radio"));
  EXPECT_TRUE(table::validate(all.profile));
}

TEST(Merge, AllOfOneKeepsItsErrors) {
  const Profile a = sample_predicted_profile();
  EXPECT_EQ(merged({a, sample_located_profile()}, {.edge = {0}, .cloud = {0}}).profile, a);
}

TEST(Merge, WhereItWasNotMadeOnOneMachineItAsks) {
  Profile a = sample_located_profile(), b = a;
  b.hosts[edge].made_on.libraries[1].version = "2.6.0";
  EXPECT_NE(refusal({a, b}).find("libtorch 2.6.0"), std::string::npos);
  // Files of old formats do not tell.
  EXPECT_NE(refusal({tests::sample_profile(), tests::sample_profile()}).find("does not tell"),
            std::string::npos);
  b = a;
  b.model.structure ^= 1;
  EXPECT_NE(refusal({a, b}).find("two networks"), std::string::npos);
  b = a;
  b.hosts[edge].source = "another datasheet";
  EXPECT_NE(refusal({a, b}).find("watts come from elsewhere"), std::string::npos);
  b = a;
  b.hosts[edge].settings[1].busy = b.hosts[edge].settings[1].busy * 1.01;
  EXPECT_NE(refusal({a, b}).find("other watts"), std::string::npos);
  b = a;
  b.hosts[edge].knobs[0].name = "cpu_frequency";
  EXPECT_NE(refusal({a, b}).find("other knobs"), std::string::npos);
  EXPECT_NE(refusal({}).find("no profile"), std::string::npos);
  EXPECT_NE(refusal({a}, {.link = {1}}).find("no such input"), std::string::npos);
}

TEST(Merge, WhatWasMeasuredGoesBeforeWhatWasPredicted) {
  const Profile a = sample_predicted_profile();
  Profile b = a;
  b.hosts[edge].settings[1].predicted = false;
  b.hosts[edge].settings[1].interval = 0;
  b.hosts[edge].settings[1].whole.mean = milliseconds(31);
  b.hosts[edge].fit = {};
  for (const auto& profiles : {std::vector{a, b}, std::vector{b, a}}) {
    const auto both = merged(profiles, {.cloud = {0}});
    EXPECT_EQ(both.profile.hosts[edge].settings[1], b.hosts[edge].settings[1]);
    EXPECT_EQ(both.profile.hosts[edge].fit, table::LevelFit());
    EXPECT_TRUE(contains(both.notes, "dropped: 1 predicted settings"));
  }
}

TEST(Merge, OfTwoPredictionsTheNarrowerStays) {
  const Profile a = sample_predicted_profile();
  Profile b = a;
  b.hosts[edge].settings[1].interval = 0.05;
  b.hosts[edge].fit = {.left_out = 2, .median_relative = 0.02, .worst_relative = 0.03};
  for (const auto& profiles : {std::vector{a, b}, std::vector{b, a}}) {
    const auto both = merged(profiles, {.cloud = {0}});
    const auto& half = both.profile.hosts[edge];
    EXPECT_EQ(half.settings[1], b.hosts[edge].settings[1]);
    EXPECT_EQ(half.fit, b.hosts[edge].fit);
  }
}

TEST(Merge, CutsAreUnitedAndTheBestCountedAccuracyStays) {
  Profile a = sample_located_profile(), b = a;
  a.cuts.erase(a.cuts.begin() + 1);
  a.cuts[0].codecs[1].accuracy = {0.5, 2000, Accuracy::Basis::labels};
  b.cuts[2].codecs[1].accuracy = {0.99, 5000, Accuracy::Basis::agreement};
  const auto both = merged({a, b});
  ASSERT_EQ(both.profile.cuts.size(), b.cuts.size());
  EXPECT_EQ(both.profile.cuts[0].codecs[1].accuracy.value, 0.5);
  EXPECT_EQ(both.profile.cuts[1], b.cuts[1]);
  EXPECT_EQ(both.profile.cuts[2].codecs[1].accuracy.basis, Accuracy::Basis::labels);
  EXPECT_EQ(both.profile.cuts[2].codecs[1].accuracy.samples, 1000U);
}

TEST(Merge, AgreementDoesNotStandBesideLabels) {
  Profile a = sample_located_profile(), b = a;
  a.cuts.erase(a.cuts.begin() + 1);
  for (auto& cut : b.cuts)
    for (auto& codec : cut.codecs) codec.accuracy.basis = Accuracy::Basis::agreement;
  const auto both = merged({a, b});
  EXPECT_EQ(both.profile.cuts[1].codecs[1].accuracy, Accuracy());
  EXPECT_TRUE(contains(both.notes, "2 accuracies that count agreement"));
}

TEST(Merge, AccuraciesOfOtherWeightsAreDropped) {
  Profile a = sample_located_profile(), b = a;
  a.cuts.erase(a.cuts.begin() + 1);
  b.model.weights ^= 1;
  const auto both = merged({a, b});
  EXPECT_EQ(both.profile.model, a.model);
  EXPECT_EQ(both.profile.cuts[1].codecs[0].accuracy, Accuracy());
  EXPECT_EQ(both.profile.cuts[1].codecs[0].encoded, b.cuts[1].codecs[0].encoded);
  EXPECT_TRUE(contains(both.notes, "other weights"));
}

TEST(Merge, CodecsThatOneLacksAreDropped) {
  const Profile a = sample_located_profile();
  Profile b = a;
  b.codecs = {"int8", "fp16"};  // int8 comes first here, and raw is not there
  for (auto& cut : b.cuts)
    if (!cut.codecs.empty())
      cut.codecs = {cut.codecs[1], cut.codecs[0]};
  for (auto& host : b.hosts)
    for (auto& setting : host.settings) setting.codecs = {setting.codecs[1], {}};
  const auto both = merged({a, b});
  EXPECT_EQ(both.profile.codecs, std::vector<std::string>{"int8"});
  EXPECT_EQ(both.profile.cuts[0].codecs.size(), 1U);
  EXPECT_EQ(both.profile.cuts[0].codecs[0], a.cuts[0].codecs[1]);
  EXPECT_NEAR(both.profile.hosts[edge].settings[0].codecs[0].encode_per_byte /
                  a.hosts[edge].settings[0].codecs[1].encode_per_byte,
              1, 1e-12);
  EXPECT_TRUE(contains(both.notes, "raw, fp16"));
  b.codecs = {"q4", "fp16"};
  EXPECT_NE(refusal({a, b}).find("no codec in common"), std::string::npos);
}

TEST(Merge, ConditionsMemoryAndOutliersAreThoseOfTheHalvesThatCount) {
  Profile a = sample_located_profile(), b = a;
  a.hosts[edge].conditions = {.steal = 0.1,
                              .others = -1,
                              .busiest = -1,
                              .temperature = 60,
                              .waited = Seconds(1),
                              .took = Seconds(10)};
  b.hosts[edge].conditions = {.steal = 0.4,
                              .others = 0.2,
                              .busiest = 0.5,
                              .temperature = 50,
                              .waited = Seconds(2),
                              .took = Seconds(20)};
  a.cuts[1].head_memory = core::Bytes(500);
  b.cuts[1].head_memory = core::Bytes(700);
  a.cuts[1].tail_memory = core::Bytes(900);
  b.cuts[1].tail_memory = core::Bytes(800);
  a.hosts[edge].settings[0].in_requests = Seconds(0.001);
  b.hosts[edge].settings[0].in_requests = Seconds(0.003);
  a.hosts[edge].settings[0].outliers = 2;
  b.hosts[edge].settings[0].outliers = 3;
  a.hosts[edge].settings[0].codecs[0].spread = 0.3;
  b.hosts[edge].settings[0].codecs[0].spread = 0.4;
  const auto both = merged({a, b}).profile;
  EXPECT_NEAR(both.hosts[edge].settings[0].in_requests.count(), 0.002, 1e-12);
  const auto& seen = both.hosts[edge].conditions;
  EXPECT_NEAR(seen.steal, 0.3, 1e-12);   // (0.1 * 10 + 0.4 * 20) / 30
  EXPECT_NEAR(seen.others, 0.2, 1e-12);  // only one tells
  EXPECT_EQ(seen.busiest, 0.5);
  EXPECT_EQ(seen.temperature, 60);
  EXPECT_EQ(seen.waited, Seconds(3));
  EXPECT_EQ(seen.took, Seconds(30));
  EXPECT_EQ(both.cuts[1].head_memory, core::Bytes(700));
  EXPECT_EQ(both.cuts[1].tail_memory, core::Bytes(900));
  EXPECT_EQ(both.hosts[edge].settings[0].outliers, 5U);
  EXPECT_NEAR(both.hosts[edge].settings[0].codecs[0].spread, std::sqrt((0.09 + 0.16) / 2), 1e-12);
  const auto chosen = merged({a, b}, {.edge = {0}, .cloud = {1}, .link = {0}}).profile;
  EXPECT_EQ(chosen.cuts[1].head_memory, core::Bytes(500));
  EXPECT_EQ(chosen.cuts[1].tail_memory, core::Bytes(800));
  EXPECT_EQ(chosen.hosts[edge].settings[0].in_requests, Seconds(0.001));
}

TEST(Merge, ExchangesStayWhereAllProfilesMeasuredAllSettings) {
  Profile a = sample_located_profile();
  for (auto& setting : a.hosts[edge].settings) setting.exchange = timing_of({0.010, 0.012, 0.014});
  Profile b = a;
  const auto both = merged({a, b});
  EXPECT_EQ(both.profile.hosts[edge].settings[0].exchange.samples, 6U);
  EXPECT_NEAR(both.profile.hosts[edge].settings[0].exchange.mean.count(), 0.012, 1e-15);
  b.hosts[edge].settings.pop_back();
  const auto some = merged({a, b});
  for (const auto& setting : some.profile.hosts[edge].settings)
    EXPECT_EQ(setting.exchange, Timing());
  EXPECT_TRUE(contains(some.notes, "beyond its parts"));
}

// Crossing is that of the fastest setting: a half that knows only a setting twice as slow tells
// half of its own.
TEST(Merge, CrossingsAreAveragedAsPartsOfAPass) {
  Profile a = sample_located_profile();
  auto& settings = a.hosts[edge].settings;
  ASSERT_GE(settings.size(), 2U);
  settings.resize(2);
  for (std::size_t s = 0; s < 2; ++s) settings[s].whole = {Seconds(0.1), Seconds(0.1), {}, 10};
  settings[1].whole.mean = Seconds(0.2);
  Profile b = a;
  a.hosts[edge].settings.pop_back();
  b.hosts[edge].settings.erase(b.hosts[edge].settings.begin());
  b.hosts[edge].settings[0].whole.samples = 30;
  a.hosts[edge].crossing = {milliseconds(1), 1e-9};
  b.hosts[edge].crossing = {milliseconds(6), 2e-9};
  // 10 passes say 1 of 100 ms, 30 say 6 of 200 ms, that is 3 of 100.
  for (const auto& both : {merged({a, b}), merged({b, a})}) {
    EXPECT_NEAR(both.profile.hosts[edge].crossing.fixed.count(), (1e-3 + 3 * 3e-3) / 4, 1e-15);
    EXPECT_NEAR(both.profile.hosts[edge].crossing.per_byte, 1e-9, 1e-21);
  }
  b.hosts[edge].crossing = {};
  EXPECT_NEAR(merged({a, b}).profile.hosts[edge].crossing.fixed.count(), 1e-3, 1e-15)
      << "what is not known does not count";
}

TEST(Merge, SaysOfWhichCutsTheMemoryIsNotKnown) {
  Profile a = test::synthetic_profile(), b = a;
  a.cuts.erase(a.cuts.begin() + 3);
  for (auto& cut : a.cuts) cut.input_known = false;
  const auto both = merged({a, b}, {.edge = {0}, .cloud = {1}, .link = {0}});
  EXPECT_TRUE(contains(both.notes, "what 1 cuts take in memory"));
  ASSERT_EQ(both.profile.cuts.size(), b.cuts.size());
  EXPECT_EQ(both.profile.cuts[3].head_memory.count(), 0);
  for (std::size_t c = 0; c < b.cuts.size(); ++c) {
    EXPECT_TRUE(both.profile.cuts[c].input_known) << "one of them knows";
    EXPECT_EQ(both.profile.cuts[c].input, b.cuts[c].input);
  }
}

// Random subsets of the levels of one device, with times of their own, in any order.
TEST(Merge, TheOrderDoesNotMatter) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Profile> profiles;
    for (int p = 0; p < 3; ++p) {
      Profile profile = test::synthetic_profile({.seed = 7});
      for (auto& host : profile.hosts) {
        host.made_on.machine = host.name;
        std::erase_if(host.settings, [&](const auto&) { return random() % 4 == 0; });
        for (auto& setting : host.settings) {
          const double factor = 0.8 + 0.4 * test::uniform(random);
          setting.whole.mean = setting.whole.mean * factor;
          setting.whole.samples = static_cast<std::uint32_t>(2 + random() % 30);
          for (auto& step : setting.steps) step.mean = step.mean * factor;
          setting.predicted = random() % 5 == 0;
          setting.interval = setting.predicted ? 0.1 * test::uniform(random) : 0;
        }
      }
      profile.link.up = profile.link.up * (0.5 + test::uniform(random));
      profiles.push_back(std::move(profile));
    }
    const Profile forth = merged(profiles).profile;
    std::reverse(profiles.begin(), profiles.end());
    const Profile back = merged(profiles).profile;
    EXPECT_EQ(forth.cuts, back.cuts);
    EXPECT_NEAR(forth.link.up / back.link.up, 1, 1e-12);
    for (const core::HostIndex host : {edge, cloud}) {
      ASSERT_EQ(forth.hosts[host].settings.size(), back.hosts[host].settings.size());
      for (std::size_t s = 0; s < forth.hosts[host].settings.size(); ++s) {
        const auto &x = forth.hosts[host].settings[s], &y = back.hosts[host].settings[s];
        EXPECT_EQ(x.levels, y.levels);
        EXPECT_EQ(x.predicted, y.predicted);
        expect_near(x.whole, y.whole);
        for (std::size_t i = 0; i < x.steps.size(); ++i)
          EXPECT_NEAR(x.steps[i].mean / y.steps[i].mean, 1, 1e-12);
      }
    }
  }
}

// The halves are what is priced: a split's parts come from the devices that were chosen.
TEST(Merge, PricesAreThoseOfTheChosenHalves) {
  Profile a = test::synthetic_profile({.seed = 5}), b = a;
  for (auto& setting : b.hosts[cloud].settings)
    for (auto& step : setting.steps) step.mean = step.mean * 3;
  b.hosts[cloud].made_on.machine = "slow cloud";
  const auto both = merged({a, b}, {.edge = {0}, .cloud = {1}, .link = {0}}).profile;
  for (std::size_t cut = 0; cut < a.cuts.size(); ++cut) {
    const core::Configuration configuration{
        .stages = {{edge, a.cuts[cut].id, {1, 0}}, {cloud, a.cuts.back().id, {1}}},
        .codecs = {"fp16"}};
    const auto before = table::price(a, configuration), after = table::price(both, configuration);
    ASSERT_TRUE(before && after);
    EXPECT_EQ(after->edge_compute, before->edge_compute);
    EXPECT_NEAR(after->cloud_compute.count(), 3 * before->cloud_compute.count(), 1e-12);
  }
}

}  // namespace
