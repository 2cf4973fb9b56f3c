#include "profiler/levels.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/knob.hpp"
#include "tests/support/retimed_executable.hpp"
#include "tests/support/synthetic_profile.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/profiler/host.hpp>
#include <cleave/profiler/transfer.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace cleave::tests {
namespace {

using core::LevelIndex;
using core::Seconds;
using Levels = std::vector<LevelIndex>;
using test::knob;

device::HostPower watts(std::span<const LevelIndex> levels) {
  return {core::Watts(1 + levels[0]), core::Watts(0.5), core::Watts(2 + levels[0])};
}

double normal(std::mt19937_64& random) {
  return std::sqrt(-2 * std::log(test::uniform(random))) *
         std::cos(6.283185307179586 * test::uniform(random));
}

// A device whose step i takes (a[i] + b[i] GHz / frequency) / threads^scaling.
struct Device {
  std::vector<double> a, b;
  double scaling = 0.8;
  std::vector<core::Knob> knobs{knob("cpu_frequency", "Hz", {6e8, 8e8, 1e9, 1.2e9, 1.5e9}),
                                knob("threads", "threads", {1, 2, 4})};

  [[nodiscard]] double step(std::size_t i, const Levels& levels) const {
    const double rate = knobs[0].levels[levels[0]].value / 1e9;
    return (a[i] + b[i] / rate) / std::pow(knobs[1].levels[levels[1]].value, scaling);
  }
  [[nodiscard]] double head(const Levels& levels, std::size_t steps) const {
    double sum = 0;
    for (std::size_t i = 0; i < steps; ++i) sum += step(i, levels);
    return sum;
  }
  // Passes with a relative standard deviation of `noise`, steps with three times that.
  [[nodiscard]] table::Setting measure(const Levels& levels, double noise,
                                       std::mt19937_64& random) const {
    constexpr double samples = 20;
    table::Setting out;
    out.levels = levels;
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double mean =
          step(i, levels) * std::exp(3 * noise * normal(random) / std::sqrt(samples));
      out.steps.push_back({Seconds(mean), Seconds(mean), Seconds(3 * noise * mean), 20});
      sum += mean;
    }
    const double pass =
        head(levels, a.size()) * std::exp(noise * normal(random) / std::sqrt(samples));
    for (auto& timing : out.steps) timing.mean = timing.mean * (pass / sum);
    out.whole = {Seconds(pass), Seconds(0.9 * pass), Seconds(noise * pass), 20};
    const double rate = knobs[0].levels[levels[0]].value / 1e9;
    out.codecs = {{Seconds(1e-5 / rate), Seconds(2e-5 / rate), 1e-9 / rate, 2e-9 / rate}};
    out.busy = watts(levels).busy;
    return out;
  }
  [[nodiscard]] table::HostProfile measured(const std::vector<Levels>& settings, double noise,
                                            std::mt19937_64& random) const {
    table::HostProfile out;
    out.name = "a device";
    out.knobs = knobs;
    for (const Levels& levels : settings) out.settings.push_back(measure(levels, noise, random));
    return out;
  }
  [[nodiscard]] table::HostProfile all(double noise, std::mt19937_64& random) const {
    return measured(profiler::combinations(knobs, 0), noise, random);
  }
};

Device some_device(std::mt19937_64& random, std::size_t steps = 20) {
  Device out;
  for (std::size_t i = 0; i < steps; ++i) {
    out.a.push_back(4e-3 * test::uniform(random) * test::uniform(random));
    out.b.push_back(4e-3 * test::uniform(random));
  }
  return out;
}

// All of it slower or quicker, memory apart from arithmetic, and each step; the last two as much as
// the devices are unlike.
Device like(const Device& device, double unlike, std::mt19937_64& random) {
  Device out = device;
  const double all = std::exp(0.3 * normal(random));
  const double memory = std::exp(0.1 * unlike * normal(random));
  for (std::size_t i = 0; i < out.a.size(); ++i) {
    const double own = all * std::exp(0.05 * unlike * normal(random));
    out.a[i] *= own * memory;
    out.b[i] *= own;
  }
  out.scaling += 0.03 * unlike * normal(random);
  return out;
}

std::size_t count_predicted(const table::HostProfile& host) {
  return static_cast<std::size_t>(
      std::count_if(host.settings.begin(), host.settings.end(),
                    [](const table::Setting& setting) { return setting.predicted; }));
}

TEST(ProbeSettings, AreFarApartAndBeginWithTheHighestLevels) {
  const std::vector<core::Knob> knobs{knob("cpu_share", "share of one CPU", {0.1, 0.25, 0.5, 1}),
                                      knob("threads", "threads", {1, 2})};
  EXPECT_EQ(profiler::probe_settings(knobs, 1), (std::vector<Levels>{{3, 1}}));
  // Across from it, then the other two corners.
  EXPECT_EQ(profiler::probe_settings(knobs, 2), (std::vector<Levels>{{0, 0}, {3, 1}}));
  EXPECT_EQ(profiler::probe_settings(knobs, 4),
            (std::vector<Levels>{{0, 0}, {0, 1}, {3, 0}, {3, 1}}));
  // 1 / level: 10, 4, 2, 1. In between, 4 is farthest from both ends.
  EXPECT_EQ(profiler::probe_settings(knobs, 5)[2], (Levels{1, 0}));
  EXPECT_EQ(profiler::probe_settings(knobs, 8), profiler::combinations(knobs, 0));
  EXPECT_EQ(profiler::probe_settings(knobs, 99), profiler::combinations(knobs, 0));
  EXPECT_EQ(profiler::probe_settings({}, 3), (std::vector<Levels>{{}}));
}

TEST(Transfer, OfWhatDiffersByAFactorPerStepIsExact) {
  std::mt19937_64 random(1);
  Device source = some_device(random);
  source.b = source.a;  // so that the factors leave the pass's shape over the levels alone
  Device target = source;
  for (std::size_t i = 0; i < target.a.size(); ++i) {
    const double own = i % 2 == 0 ? 2.5 : 1.5;
    target.a[i] *= own;
    target.b[i] *= own;
  }
  auto half = target.measured(profiler::probe_settings(target.knobs, 3), 0, random);
  const auto done = profiler::transfer(half, source.all(0, random), watts, {});
  ASSERT_TRUE(done) << done.error().message();
  const auto all = profiler::combinations(target.knobs, 0);
  ASSERT_EQ(half.settings.size(), all.size());
  EXPECT_EQ(count_predicted(half), all.size() - 3);
  for (std::size_t s = 0; s < all.size(); ++s) {
    const table::Setting& setting = half.settings[s];
    EXPECT_EQ(setting.levels, all[s]);
    for (std::size_t i = 0; i < target.a.size(); ++i)
      EXPECT_NEAR(setting.steps[i].mean.count() / target.step(i, all[s]), 1, 1e-6);
    EXPECT_NEAR(setting.whole.mean.count() / target.head(all[s], target.a.size()), 1, 1e-6);
    EXPECT_NEAR(setting.whole.median / setting.whole.mean, 0.9, 1e-6);
    EXPECT_EQ(setting.busy, watts(all[s]).busy);
    EXPECT_EQ(setting.whole.samples, setting.predicted ? 0U : 20U);
    // The codec costs the same on both.
    EXPECT_NEAR(setting.codecs[0].encode_per_byte * target.knobs[0].levels[all[s][0]].value, 1,
                1e-6);
    EXPECT_NEAR(setting.interval, 0, 1e-6);
  }
  EXPECT_EQ(half.fit.left_out, 3U);
  EXPECT_NEAR(half.fit.worst_relative, 0, 1e-6);
}

// What a transfer says of its own error, against the truth at the settings that were not probed.
void expect_covered(int probes, double noise, double unlike, double median_goal) {
  std::vector<double> errors;
  int passes = 0, covered = 0, heads = 0, covered_heads = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    const Device source = some_device(random);
    const Device target = like(source, unlike, random);
    auto half = target.measured(profiler::probe_settings(target.knobs, probes), noise, random);
    ASSERT_TRUE(profiler::transfer(half, source.all(noise, random), watts, {}));
    for (const table::Setting& setting : half.settings) {
      if (!setting.predicted)
        continue;
      const double truth = target.head(setting.levels, target.a.size());
      const double error = setting.whole.mean.count() / truth - 1;
      errors.push_back(std::abs(error));
      ++passes;
      covered += std::abs(error) <= setting.interval ? 1 : 0;
      Seconds head;
      for (std::size_t i = 0; i < target.a.size(); ++i) {
        head += setting.steps[i].mean;
        if ((i + 1) % 5 != 0)
          continue;
        ++heads;
        covered_heads +=
            std::abs(head.count() / target.head(setting.levels, i + 1) - 1) <= setting.interval;
      }
    }
  }
  std::nth_element(errors.begin(), errors.begin() + std::ssize(errors) / 2, errors.end());
  const double median = errors[errors.size() / 2];
  EXPECT_GE(covered, 0.9 * passes) << probes << " probes, median error " << median;
  EXPECT_GE(covered_heads, 0.9 * heads) << probes << " probes";
  EXPECT_LE(median, median_goal) << probes << " probes";
}

TEST(Transfer, TheErrorThatItPrintsCoversTheTruth) {
  expect_covered(2, 0.02, 1, 0.02);
  expect_covered(3, 0.02, 1, 0.01);
  expect_covered(6, 0.02, 1, 0.01);
  expect_covered(6, 0.10, 1, 0.04);
  // Devices that differ by some 40 % in what memory costs and 20 % in each step.
  expect_covered(2, 0.02, 4, 0.06);
  expect_covered(3, 0.02, 4, 0.02);
  expect_covered(6, 0.02, 4, 0.01);
}

TEST(Transfer, StepsThatDifferByNoiseAloneAreShrunkTogether) {
  double shrunk = 0, own = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    const Device source = some_device(random);
    Device target = source;
    for (std::size_t i = 0; i < target.a.size(); ++i) {
      target.a[i] *= 2;
      target.b[i] *= 2;
    }
    auto half = target.measured(profiler::probe_settings(target.knobs, 2), 0.1, random);
    const auto probes = half;
    const auto from = source.all(0.1, random);
    ASSERT_TRUE(profiler::transfer(half, from, watts, {}));
    const Levels levels{2, 1};
    const auto at = [&](const table::HostProfile& host, const Levels& which) {
      return *std::find_if(host.settings.begin(), host.settings.end(),
                           [&](const table::Setting& s) { return s.levels == which; });
    };
    for (std::size_t i = 0; i < target.a.size(); ++i) {
      const double truth = target.step(i, levels);
      const double here = at(from, levels).steps[i].mean.count();
      double ratio = 0;  // each step by itself
      for (const auto& probe : probes.settings)
        ratio += std::log(probe.steps[i].mean / at(from, probe.levels).steps[i].mean) / 2;
      shrunk += std::pow(at(half, levels).steps[i].mean.count() / truth - 1, 2);
      own += std::pow(here * std::exp(ratio) / truth - 1, 2);
    }
  }
  EXPECT_LT(shrunk, 0.8 * own);
}

TEST(Transfer, LevelsThatTheSourceLacksAreThoseOfItsOwnFormula) {
  std::mt19937_64 random(3);
  const Device source = some_device(random);
  Device target = source;
  target.knobs[0] = knob("cpu_frequency", "Hz", {7e8, 1e9, 1.4e9});
  auto half = target.measured(profiler::probe_settings(target.knobs, 4), 0, random);
  const auto done = profiler::transfer(half, source.all(0, random), watts, {});
  ASSERT_TRUE(done) << done.error().message();
  ASSERT_EQ(half.settings.size(), 9U);
  for (const table::Setting& setting : half.settings)
    EXPECT_NEAR(setting.whole.mean.count() / target.head(setting.levels, target.a.size()), 1, 1e-6);
}

TEST(Transfer, TheSourcesOwnUncertaintyIsCarried) {
  std::mt19937_64 random(4);
  const Device source = some_device(random);
  auto from = source.all(0, random);
  for (auto& setting : from.settings)
    if (setting.levels == Levels{2, 1}) {
      setting.predicted = true;
      setting.interval = 0.07;
    }
  auto half = source.measured(profiler::probe_settings(source.knobs, 3), 0, random);
  ASSERT_TRUE(profiler::transfer(half, from, watts, {}));
  for (const auto& setting : half.settings)
    EXPECT_NEAR(setting.interval, (setting.levels == Levels{2, 1} ? 0.07 : 0), 1e-6);
}

TEST(Transfer, RefusesWhatItCannotCheckOrCompare) {
  std::mt19937_64 random(5);
  const Device device = some_device(random);
  const auto from = device.all(0, random);
  const auto refusal = [&](table::HostProfile half) {
    const auto done = profiler::transfer(half, from, watts, {});
    EXPECT_FALSE(done);
    return done ? "" : done.error().message();
  };
  EXPECT_NE(refusal(device.measured({{4, 2}}, 0, random)).find("two probes"), std::string::npos);
  auto other = device.measured({{0, 0}, {4, 2}}, 0, random);
  other.knobs[1].name = "cores";
  EXPECT_NE(refusal(other).find("other knobs"), std::string::npos);
  other = device.measured({{0, 0}, {4, 2}}, 0, random);
  for (auto& setting : other.settings) setting.steps.pop_back();
  EXPECT_NE(refusal(other).find("other steps"), std::string::npos);
  other = device.measured({{0, 0}, {4, 2}}, 0, random);
  other.knobs[1].levels[2].value = 8;  // no formula tells of threads
  EXPECT_NE(refusal(other).find("lacks levels"), std::string::npos);
}

TEST(EdgeHalfFor, PutsCodecsInTheOrderAskedFor) {
  const auto profile = test::synthetic_profile({.codecs = {"raw", "fp16", "int8"}});
  const auto half = profiler::edge_half_for(profile, {"int8", "raw"});
  ASSERT_TRUE(half);
  const auto& before = profile.hosts[core::edge_host].settings[3].codecs;
  EXPECT_EQ(half->settings[3].codecs, (std::vector{before[2], before[0]}));
  EXPECT_FALSE(profiler::edge_half_for(profile, {"q4"}));
}

// A machine on which 3 + 5 ms of work take `slowness` / threads as long.
struct Machine {
  core::ManualClock clock;
  int threads = 1, settings_entered = 0;
  double slowness = 1;

  FakeExecutable model{{core::milliseconds(3), core::milliseconds(5)}, 10};

  core::Result<table::HostProfile> measure(profiler::HostOptions options) {
    std::vector<std::unique_ptr<device::Governor>> governors;
    governors.push_back(std::make_unique<device::ThreadsGovernor>(std::vector<int>{1, 2, 3, 4}, 1,
                                                                  [this](int count) {
                                                                    threads = count;
                                                                    ++settings_entered;
                                                                    return core::Result<void>();
                                                                  }));
    device::Arbiter knobs(std::move(governors));
    const RetimedExecutable network(
        std::make_shared<FakeExecutable>(model),
        [this](core::CutId, core::CutId, std::span<core::StepTime> steps) {
          for (core::StepTime& step : steps) {
            step.time = step.time * (slowness / threads);
            clock.advance(step.time);
          }
        });
    options.power = watts;
    options.clock = &clock;
    return profiler::measure_host(network, model.example(), knobs, options);
  }
};

TEST(MeasureHost, MeasuresTheProbesAndTransfersTheRest) {
  Machine here;
  auto source = std::make_shared<table::Profile>();
  auto half = here.measure({});
  ASSERT_TRUE(half) << half.error().message();
  source->model = here.model.fingerprint();
  source->hosts[core::edge_host] = *half;

  Machine there;
  there.slowness = 2.5;
  profiler::HostOptions options;
  options.transfer_from = source;
  options.probes = 2;
  const auto got = there.measure(options);
  ASSERT_TRUE(got) << got.error().message();
  ASSERT_EQ(got->settings.size(), 4U);
  EXPECT_LT(there.settings_entered, here.settings_entered);
  for (std::size_t s = 0; s < 4; ++s) {
    const auto threads = static_cast<double>(s + 1);
    EXPECT_EQ(got->settings[s].predicted, s == 1 || s == 2);
    EXPECT_NEAR(got->settings[s].steps[1].mean.count(), 2.5 * 5e-3 / threads, 1e-9);
    EXPECT_NEAR(got->settings[s].whole.mean.count(), 2.5 * 8e-3 / threads, 1e-9);
  }

  options.probes = 1;
  EXPECT_EQ(there.measure(options).error().code, core::Errc::invalid_argument);
  options.probes = 2;
  options.measure_levels = 3;
  EXPECT_EQ(there.measure(options).error().code, core::Errc::invalid_argument);
  options.measure_levels = 0;
  source->model.structure ^= 1;
  EXPECT_EQ(there.measure(options).error().code, core::Errc::mismatch);
}

}  // namespace
}  // namespace cleave::tests
