#include "profiler/levels.hpp"

#include "tests/support/knob.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace cleave::tests {
namespace {

using core::LevelIndex;
using core::milliseconds;
using core::Seconds;
using device::ShareSlice;
using Levels = std::vector<LevelIndex>;
using test::knob;

core::Knob share(std::vector<double> values) {
  return knob("cpu_share", "share of one CPU", std::move(values));
}

device::HostPower watts(std::span<const LevelIndex> levels) {
  return {core::Watts(1 + levels[0]), core::Watts(0.5), core::Watts(1 + levels[0])};
}

// A host whose step i takes a[i] + b[i] / rate, by threads half as long, with codecs likewise.
struct ClosedForm {
  std::vector<double> a{1e-3, 0, 4e-3, 2e-5}, b{2e-3, 3e-3, 0, 7e-4};
  std::vector<core::Knob> knobs{share({0.1, 0.2, 0.25, 0.5, 0.8, 1}),
                                knob("threads", "threads", {1, 2})};

  [[nodiscard]] double step(std::size_t i, const Levels& levels) const {
    const double threads = knobs[1].levels[levels[1]].value;
    return (a[i] + b[i] / knobs[0].levels[levels[0]].value) / threads;
  }
  // `noise` gives a factor for a pass.
  template <class Noise>
  table::Setting setting(const Levels& levels, Noise&& noise) const {
    table::Setting out;
    out.levels = levels;
    const double factor = noise();
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double mean = step(i, levels) * factor;
      out.steps.push_back({Seconds(mean), Seconds(0.9 * mean), Seconds(0.1 * mean), 20});
      sum += mean;
    }
    out.whole = {Seconds(sum), Seconds(sum), Seconds(0.05 * sum), 20};
    const double rate = knobs[0].levels[levels[0]].value;
    out.codecs = {{Seconds(1e-5 / rate), Seconds(2e-5), 1e-9 + 3e-9 / rate, 0}};
    out.busy = watts(levels).busy;
    return out;
  }
  template <class Noise>
  table::HostProfile host(int per_rate, Noise&& noise) const {
    table::HostProfile out;
    out.knobs = knobs;
    for (const Levels& levels : profiler::combinations(knobs, per_rate))
      out.settings.push_back(setting(levels, noise));
    return out;
  }
  table::HostProfile host(int per_rate) const {
    return host(per_rate, [] { return 1.0; });
  }
};

TEST(SpreadOutLevels, AreFarApartInOneOverTheLevelWithBothEnds) {
  const core::Knob levels = share({0.1, 0.2, 0.25, 0.5, 0.8, 1});
  // 1 / level: 10, 5, 4, 2, 1.25, 1. Between 1 and 10 the farthest is 5, then 2 (1 from 1, 3 from
  // 5; 4 is 1 from 5).
  EXPECT_EQ(profiler::spread_out_levels(levels, 3), (Levels{0, 1, 5}));
  EXPECT_EQ(profiler::spread_out_levels(levels, 4), (Levels{0, 1, 2, 5}));
  EXPECT_EQ(profiler::spread_out_levels(levels, 9), (Levels{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(profiler::spread_out_levels(share({0.5}), 3), (Levels{0}));
}

TEST(Combinations, LeaveOutLevelsOfRatesOnly) {
  const std::vector<core::Knob> knobs{share({0.1, 0.2, 0.5, 1}), knob("threads", "threads", {1, 2}),
                                      knob("gpu", "Hz", {1e8, 2e8, 3e8, 4e8})};
  EXPECT_EQ(profiler::combinations(knobs, 0).size(), 32U);
  const auto some = profiler::combinations(knobs, 3);
  EXPECT_EQ(some.size(), 18U);
  EXPECT_TRUE(std::is_sorted(some.begin(), some.end()));
  core::Knob words = share({1, 2});
  words.categorical = true;
  EXPECT_FALSE(profiler::is_rate(words));
  EXPECT_FALSE(profiler::is_rate(share({0, 1})));
}

TEST(PredictLevels, NoiseFreeTimesComeBackExactly) {
  const ClosedForm form;
  auto host = form.host(3);
  ASSERT_EQ(host.settings.size(), 6U);
  ASSERT_TRUE(profiler::predict_levels(host, watts, {}));
  const auto all = profiler::combinations(form.knobs, 0);
  ASSERT_EQ(host.settings.size(), all.size());
  int predicted = 0;
  for (std::size_t s = 0; s < all.size(); ++s) {
    const table::Setting& setting = host.settings[s];
    const table::Setting truth = form.setting(all[s], [] { return 1.0; });
    EXPECT_EQ(setting.levels, all[s]);
    if (!setting.predicted) {
      EXPECT_EQ(setting, truth);
      continue;
    }
    ++predicted;
    for (std::size_t i = 0; i < form.a.size(); ++i) {
      EXPECT_NEAR(setting.steps[i].mean / truth.steps[i].mean, 1, 1e-9);
      EXPECT_NEAR(setting.steps[i].median / truth.steps[i].median, 1, 1e-9);
      EXPECT_NEAR(setting.steps[i].spread / truth.steps[i].spread, 1, 1e-9);
      EXPECT_EQ(setting.steps[i].samples, 0U);
    }
    EXPECT_NEAR(setting.whole.mean / truth.whole.mean, 1, 1e-9);
    const table::CodecCost &cost = setting.codecs[0], &expected = truth.codecs[0];
    EXPECT_NEAR(cost.encode_fixed / expected.encode_fixed, 1, 1e-9);
    EXPECT_NEAR(cost.decode_fixed / expected.decode_fixed, 1, 1e-9);
    EXPECT_NEAR(cost.encode_per_byte / expected.encode_per_byte, 1, 1e-9);
    EXPECT_EQ(cost.decode_per_byte, 0);
    EXPECT_EQ(setting.busy, truth.busy);
    EXPECT_NEAR(setting.interval, 0, 1e-9);
  }
  EXPECT_EQ(predicted, 6);
  // Three measured levels, of which the middle one is left out, by two thread counts.
  EXPECT_EQ(host.fit.left_out, 2U);
  EXPECT_NEAR(host.fit.worst_relative, 0, 1e-9);
}

TEST(PredictLevels, TwoRatesAddUp) {
  table::HostProfile host;
  host.knobs = {knob("cpu_frequency", "Hz", {5e8, 1e9, 1.5e9, 2e9}),
                knob("devfreq.gpu", "Hz", {1e8, 2e8, 3e8, 4e8})};
  const auto time = [&](const Levels& levels) {
    return 1e-3 + 2e6 / host.knobs[0].levels[levels[0]].value +
           5e5 / host.knobs[1].levels[levels[1]].value;
  };
  for (const Levels& levels : profiler::combinations(host.knobs, 3)) {
    table::Setting setting;
    setting.levels = levels;
    setting.steps = {{Seconds(time(levels)), Seconds(time(levels)), {}, 9}};
    setting.whole = setting.steps[0];
    host.settings.push_back(setting);
  }
  ASSERT_TRUE(profiler::predict_levels(host, watts, {}));
  ASSERT_EQ(host.settings.size(), 16U);
  for (const table::Setting& setting : host.settings)
    EXPECT_NEAR(setting.whole.mean.count() / time(setting.levels), 1, 1e-9);
}

TEST(PredictLevels, UnderNoiseTheErrorStaysNearItAndTheIntervalCoversIt) {
  const ClosedForm form;
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal(0, 0.02);
  int covered = 0, predictions = 0;
  std::vector<double> errors;
  for (int trial = 0; trial < 200; ++trial) {
    auto host = form.host(4, [&] { return 1 + normal(random); });
    ASSERT_TRUE(profiler::predict_levels(host, watts, {}));
    for (const table::Setting& setting : host.settings) {
      if (!setting.predicted)
        continue;
      const double truth = form.setting(setting.levels, [] { return 1.0; }).whole.mean.count();
      errors.push_back(std::abs(setting.whole.mean.count() / truth - 1));
      covered += errors.back() <= setting.interval ? 1 : 0;
      ++predictions;
    }
  }
  std::sort(errors.begin(), errors.end());
  // Two to four levels bear on a prediction: it is no worse than one measurement.
  EXPECT_LT(errors[errors.size() / 2], 0.02);
  EXPECT_LT(errors[errors.size() * 99 / 100], 0.08);
  EXPECT_GE(covered, predictions * 9 / 10);
}

TEST(PredictLevels, WithoutACheckThereIsNoPrediction) {
  const ClosedForm form;
  auto host = form.host(2);
  EXPECT_EQ(profiler::predict_levels(host, watts, {}).error().code, core::Errc::invalid_argument);
  auto whole = form.host(0);
  const auto before = whole;
  ASSERT_TRUE(profiler::predict_levels(whole, watts, {}));
  EXPECT_EQ(whole, before);
}

// Walks through the periods one by one.
double simulate(double work, double start, const ShareSlice& slice) {
  const double q = slice.quota.count(), period = slice.period.count();
  double now = start, next = period, left = q;
  const double began = now;
  while (work > 1e-15) {
    const double run = std::min({work, left, next - now});
    now += run;
    work -= run;
    left -= run;
    if (work > 1e-15 && (left <= 1e-15 || next - now <= 1e-15)) {
      now = next;
      next += period;
      left = q;
    }
  }
  return now - began;
}

TEST(QuotaSlice, TheClosedFormIsTheMeanOverAllMomentsOfThePeriod) {
  const ShareSlice slice{milliseconds(1.1), milliseconds(5)};
  for (const double work : {0.2e-3, 1.09e-3, 1.2e-3, 2.1e-3, 3.5e-3, 6.5e-3, 31.4e-3}) {
    double sum = 0;
    constexpr int starts = 20000;
    for (int i = 0; i < starts; ++i) sum += simulate(work, 5e-3 * (i + 0.5) / starts, slice);
    EXPECT_NEAR(profiler::throttled(Seconds(work), slice).count(), sum / starts, 1e-6) << work;
  }
}

TEST(QuotaSlice, ShortWorkRunsUntouchedAndLongWorkAtTheShare) {
  const ShareSlice slice{milliseconds(2), milliseconds(10)};
  EXPECT_EQ(profiler::throttled(milliseconds(2), slice), milliseconds(2));
  EXPECT_GT(profiler::throttled(milliseconds(2.001), slice), milliseconds(5));
  EXPECT_NEAR(profiler::throttled(Seconds(10), slice).count(), 50, 0.02);
  EXPECT_EQ(profiler::throttled(Seconds(3), {milliseconds(5), milliseconds(5)}), Seconds(3));
  for (const double work : {0.5e-3, 2e-3, 2.7e-3, 11e-3, 0.4})
    EXPECT_NEAR(
        profiler::work_within(profiler::throttled(Seconds(work), slice), slice).count() / work, 1,
        1e-9);
}

TEST(PredictLevels, UnderAQuotaStepsStallWhereTheirSliceEnds) {
  const std::vector<double> work{0.4e-3, 0.5e-3, 3e-3, 0.2e-3, 9e-3};
  table::HostProfile host;
  host.knobs = {share({0.1, 0.2, 0.4, 0.6, 1})};
  const device::SliceOf slice =
      [&](std::span<const LevelIndex> levels) -> std::optional<ShareSlice> {
    return ShareSlice{milliseconds(10) * host.knobs[0].levels[levels[0]].value, milliseconds(10)};
  };
  const auto setting_at = [&](const Levels& levels) {
    table::Setting setting;
    setting.levels = levels;
    double done = 0;
    Seconds before;
    for (const double step : work) {
      done += step;
      const Seconds after = profiler::throttled(Seconds(done), *slice(levels));
      setting.steps.push_back({after - before, after - before, {}, 9});
      before = after;
    }
    setting.whole = {before, before, {}, 9};
    return setting;
  };
  for (const Levels& levels : profiler::combinations(host.knobs, 3))
    host.settings.push_back(setting_at(levels));
  ASSERT_TRUE(profiler::predict_levels(host, watts, slice));
  ASSERT_EQ(host.settings.size(), 5U);
  for (const table::Setting& setting : host.settings) {
    const table::Setting truth = setting_at(setting.levels);
    for (std::size_t i = 0; i < work.size(); ++i)
      EXPECT_NEAR(setting.steps[i].mean.count(), truth.steps[i].mean.count(), 1e-7)
          << i << " at " << setting.levels[0];
  }
  // Steps within the first slice run at full speed whatever the share.
  const auto at_40_percent = std::find_if(host.settings.begin(), host.settings.end(),
                                          [](const auto& s) { return s.predicted; });
  EXPECT_NEAR(at_40_percent->steps[0].mean.count(), 0.4e-3, 1e-7);
}

}  // namespace
}  // namespace cleave::tests
