#include "profiler/cuts.hpp"
#include "profiler/host_wire.hpp"
#include "profiler/statistics.hpp"
#include "profiler/validate.hpp"
#include "tests/profiler/profiler_fixture.hpp"
#include "tests/support/retimed_executable.hpp"
#include "tests/support/synthetic_profile.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/device/pace.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/profiler/validation.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/transport/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

TEST_F(ProfilerTest, StepTimesAreThoseOfTheClock) {
  profiler::HostOptions host = options.edge;
  host.clock = &clock;
  host.codecs = {"raw"};
  const auto measured = profiler::measure_host(*model, model->example(), *knobs, host);
  ASSERT_TRUE(measured) << measured.error().message();
  ASSERT_EQ(measured->settings.size(), 2u);
  for (const table::Setting& setting : measured->settings) {
    ASSERT_EQ(setting.steps.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(setting.steps[i].mean.count(), times[i].count(), 1e-9);
      EXPECT_GE(setting.steps[i].samples, 12u);
    }
    EXPECT_NEAR(setting.whole.mean.count(), 0.015, 1e-9);
    EXPECT_EQ(setting.busy, core::Watts(10));
  }
  EXPECT_EQ(measured->settings[0].levels, std::vector<core::LevelIndex>{0});
  EXPECT_EQ(measured->settings[1].levels, std::vector<core::LevelIndex>{1});
}

TEST_F(ProfilerTest, EachCutKnowsWhatItsHalvesNeedOfMemory) {
  const auto measured = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(measured) << measured.error().message();
  ASSERT_EQ(measured->cuts.size(), 4u);
  for (std::size_t c = 0; c < 4; ++c) {
    // Each half: what it was given, 4000 bytes, its most demanding step, and its weights.
    const auto head = static_cast<double>(c), tail = 3 - head;
    EXPECT_EQ(measured->cuts[c].head_memory,
              core::Bytes(4000 + (c > 0 ? 100 * head + 7 * head + 1000 : 0)));
    EXPECT_EQ(measured->cuts[c].tail_memory, core::Bytes(c < 3 ? 4000 + 300 + 7 * tail + 1000 : 0));
  }
}

TEST_F(ProfilerTest, InstrumentationThatSlowsStepsIsScaledAway) {
  // Steps that take 1 ms longer when each is timed.
  class Instrumented final : public core::Executable {
   public:
    Instrumented(std::shared_ptr<FakeExecutable> model, core::ManualClock& clock)
        : model_(std::move(model)), clock_(clock) {}
    core::Fingerprint fingerprint() const override { return model_->fingerprint(); }
    std::span<const core::Cut> cuts() const override { return model_->cuts(); }
    std::uint32_t step_count() const override { return model_->step_count(); }
    core::Result<core::Values> run(core::CutId a, core::CutId b,
                                   const core::Values& v) const override {
      return model_->run(a, b, v);
    }
    core::Result<core::Values> run_timed(core::CutId a, core::CutId b, const core::Values& v,
                                         std::vector<core::StepTime>& times) const override {
      auto result = model_->run_timed(a, b, v, times);
      for (core::StepTime& time : times) {
        time.time += milliseconds(1);
        clock_.advance(milliseconds(1));
      }
      return result;
    }
    core::Result<void> set_threads(int n) const override { return model_->set_threads(n); }

   private:
    std::shared_ptr<FakeExecutable> model_;
    core::ManualClock& clock_;
  };
  const Instrumented slow(model, clock);
  profiler::HostOptions host = options.edge;
  host.clock = &clock;
  const auto measured = profiler::measure_host(slow, model->example(), *knobs, host);
  ASSERT_TRUE(measured);
  Seconds sum;
  for (const table::Timing& step : measured->settings[0].steps) sum += step.mean;
  EXPECT_NEAR(sum.count(), 0.015, 1e-9);
}

TEST_F(ProfilerTest, AProfileOfAnIdealSystemPredictsItExactly) {
  std::vector<std::string> phases;
  double before = 0;
  options.progress = [&](double fraction, std::string_view phase) {
    EXPECT_GE(fraction, before);
    before = fraction;
    EXPECT_LE(fraction, 1 + 1e-9);
    if (phases.empty() || phases.back() != phase)
      phases.emplace_back(phase);
  };
  std::vector<profiler::Sample> samples{{model->example(), 999}, {model->example(), 3}};
  options.samples = samples;
  const auto profile = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->model, model->fingerprint());
  // Six phases, of which the cloud's comes again before and after the edge's.
  ASSERT_EQ(phases.size(), 8u);
  EXPECT_EQ(phases[2], phases[0]);
  EXPECT_EQ(phases[4], phases[0]);
  EXPECT_NEAR(profile->link.round_trip.count(), 0.010, 1e-6);
  EXPECT_NEAR(profile->link.up.count(), cloud.rate.count(), 1e-3 * cloud.rate.count());
  EXPECT_NEAR(profile->link.down.count(), cloud.rate.count(), 1e-3 * cloud.rate.count());
  // The closed form for the cut after the first step, raw.
  core::Configuration configuration;
  configuration.stages = {{core::edge_host, model->cuts()[1].id, {0}},
                          {core::cloud_host, model->cuts().back().id, {0}}};
  configuration.codecs = {"raw"};
  EXPECT_EQ(profile->chunk, core::Bytes(static_cast<double>(transport::piece_bytes)));
  const auto ingredients = table::price(*profile, configuration);
  if (ingredients) {
    const Seconds predicted =
        table::compose(*ingredients, table::link_of(*profile), Seconds(0)).latency.total();
    const double bytes = profile->cuts[1].codecs[0].encoded.count() + profile->reply.count();
    EXPECT_NEAR(predicted.count(), 0.015 + 0.010 + bytes / cloud.rate.count(), 2e-4);
  } else {
    ADD_FAILURE() << ingredients.error().message();
  }
  EXPECT_GT(profile->error.configurations, 5u);
  EXPECT_LT(profile->error.p90_relative, 0.02);
  EXPECT_LT(profile->error.repeat_p90_relative, 1e-6);
  // The largest element is the last one; one of two labels says so.
  EXPECT_EQ(profile->cuts[0].codecs[0].accuracy.value, 0.5);
  EXPECT_EQ(profile->cuts[0].codecs[0].accuracy.basis, table::Accuracy::Basis::labels);
  EXPECT_EQ(profile->cuts[0].codecs[0].accuracy.samples, 2u);
  // All cuts have equal bytes, so only the first was measured with lossy codecs.
  EXPECT_EQ(profile->cuts[1].codecs[2].accuracy.basis, table::Accuracy::Basis::none);
}

TEST_F(ProfilerTest, AStopIsCancelledAndALostCloudIsUnavailable) {
  std::stop_source stop;
  stop.request_stop();
  options.stop = stop.get_token();
  EXPECT_EQ(profiler::profile(model, model->example(), *knobs, cloud, options).error().code,
            core::Errc::cancelled);
  options.stop = {};
  // The cloud dies at the n-th call, whichever that is.
  for (int survive = 0; survive < 60; survive += 7) {
    FakeCloud dying(clock, model);
    dying.handlers = cloud.handlers;
    dying.rate = cloud.rate;
    dying.on_call = [&](const exec::RemoteCall&) -> core::Result<void> {
      if (dying.calls > survive)
        return core::fail(core::Errc::unavailable, "connection lost");
      return {};
    };
    const auto profile = profiler::profile(model, model->example(), *knobs, dying, options);
    ASSERT_FALSE(profile) << survive;
    EXPECT_EQ(profile.error().code, core::Errc::unavailable);
  }
}

TEST_F(ProfilerTest, AProfileKnowsBothMachines) {
  const auto profile = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->hosts[core::edge_host].made_on, options.edge.made_on);
  EXPECT_EQ(profile->hosts[core::cloud_host].made_on, cloud_host.made_on);
  // A cloud that does not tell is an unknown one, one that tells nonsense an error.
  cloud.handlers.erase("profile/machine");
  const auto silent = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(silent) << silent.error().message();
  EXPECT_FALSE(silent->hosts[core::cloud_host].made_on.known());
  cloud.handlers["profile/machine"] = [](std::span<const std::byte>) {
    return std::vector<std::byte>(3);
  };
  EXPECT_EQ(profiler::machine_of(cloud).error().code, core::Errc::corrupt);
}

TEST_F(ProfilerTest, AnotherModelInTheCloudIsAMismatch) {
  FakeCloud other(clock, nullptr);
  profiler::MeasureService none(other.models, *cloud_knobs, cloud_host);
  other.handlers["profile/measure"] = [&](std::span<const std::byte> body) {
    return none.measure(body);
  };
  EXPECT_EQ(profiler::profile(model, model->example(), *knobs, other, options).error().code,
            core::Errc::not_found);
}

TEST_F(ProfilerTest, DrawnConfigurationsAreDistinctValidAndReproducible) {
  const auto profile = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(profile);
  EXPECT_EQ(profiler::draw_configurations(*profile, 5, 3),
            profiler::draw_configurations(*profile, 5, 3));
  const auto all = profiler::draw_configurations(*profile, 100, 4);
  // Three cuts with "raw" and the all-edge one, each at two settings of the edge: samples that
  // would allow lossy codecs were not given.
  EXPECT_EQ(all.size(), 8u);
  for (const core::Configuration& configuration : all) {
    EXPECT_TRUE(table::price(*profile, configuration));
    EXPECT_EQ(std::count(all.begin(), all.end(), configuration), 1);
  }
}

TEST(QuickestOf, TakesTheCloudsSettingsInTurnAndShortRequestsFirst) {
  const table::Profile profile = test::synthetic_profile();
  const auto all = profiler::draw_configurations(profile, 60, 1);
  ASSERT_EQ(all.size(), 60u);
  const auto levels = [](const core::Configuration& c) {
    return c.stages[core::cloud_host].levels;
  };
  const auto time = [&](const core::Configuration& c) {
    return table::compose(*table::price(profile, c), table::link_of(profile), Seconds(0))
        .latency.total();
  };
  const auto some = profiler::quickest_of(profile, all, 12);
  ASSERT_EQ(some.size(), 12u);
  const std::size_t settings = profile.hosts[core::cloud_host].settings.size();
  for (std::size_t i = 0; i < some.size(); ++i) {
    // As many of its setting are quicker as were taken before it.
    const auto quicker = std::count_if(all.begin(), all.end(), [&](const auto& other) {
      return levels(other) == levels(some[i]) && time(other) < time(some[i]);
    });
    EXPECT_EQ(quicker, static_cast<std::ptrdiff_t>(i / settings));
  }
  EXPECT_EQ(profiler::quickest_of(profile, all, 100).size(), all.size());
}

TEST(HostWire, AHalfProfileSurvivesTheWireAndItsTruncationsAndFlipsDoNotCrash) {
  table::HostProfile host;
  host.name = "cloud";
  host.board = "server";
  host.source = "somewhere";
  host.knobs = {
      {"threads", core::cloud_host, "threads", {{"1", 1}, {"2", 2}}, false, Seconds(1e-6)}};
  for (const core::LevelIndex level : {0, 1}) {
    table::Setting setting;
    setting.levels = {level};
    setting.steps = {{Seconds(1), Seconds(2), Seconds(3), 4},
                     {Seconds(5), Seconds(6), Seconds(7), 8}};
    setting.whole = {Seconds(9), Seconds(10), Seconds(11), 12};
    setting.codecs = {{Seconds(1e-6), Seconds(2e-6), 1e-9, 2e-9}};
    setting.busy = core::Watts(30);
    setting.idle = core::Watts(20);
    setting.machine_busy = core::Watts(90);
    host.settings.push_back(setting);
  }
  const auto message = profiler::write_host_profile(host);
  const auto parsed = profiler::parse_host_profile(message, 2, 1);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, host);
  EXPECT_FALSE(profiler::parse_host_profile(message, 3, 1));
  EXPECT_FALSE(profiler::parse_host_profile(message, 2, 2));
  for (std::size_t length = 0; length < message.size(); ++length)
    EXPECT_FALSE(profiler::parse_host_profile(std::span(message).first(length), 2, 1));
  std::mt19937 random(11);
  for (int i = 0; i < 5000; ++i) {
    auto spoiled = message;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
      spoiled[random() % spoiled.size()] ^= static_cast<std::byte>(1 + random() % 255);
    const auto result = profiler::parse_host_profile(spoiled, 2, 1);
    if (!result)
      continue;
    for (const table::Setting& setting : result->settings)
      for (std::size_t k = 0; k < setting.levels.size(); ++k)
        EXPECT_LT(setting.levels[k], result->knobs[k].levels.size());
  }
}

TEST(HostWire, AMachineSurvivesTheWireAndItsTruncationsDoNot) {
  const core::Provenance made{"cloud", "a processor", 2, "cpu", {{"cleave", "0.1.0"}, {"x", ""}}};
  auto message = profiler::write_provenance(made);
  const auto parsed = profiler::parse_provenance(message);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, made);
  for (std::size_t length = 0; length < message.size(); ++length)
    EXPECT_FALSE(profiler::parse_provenance(std::span(message).first(length)));
  message.push_back(std::byte{0});
  EXPECT_FALSE(profiler::parse_provenance(message));
}

// An edge with six shares, and a cloud that runs the same network at full speed.
class LevelsTest : public ProfilerTest {
 protected:
  LevelsTest() {
    auto pace = std::make_unique<device::PaceGovernor>(core::edge_host,
                                                       std::vector<core::Level>{{"10 %", 0.1},
                                                                                {"20 %", 0.2},
                                                                                {"25 %", 0.25},
                                                                                {"50 %", 0.5},
                                                                                {"80 %", 0.8},
                                                                                {"100 %", 1}});
    // Step i takes a[i] + b[i] / share.
    shared = std::make_shared<RetimedExecutable>(
        timeless, [this, share = pace->pace(), a = std::vector{1e-3, 0.0, 2e-3},
                   b = std::vector{2e-3, 5e-3, 1e-3}](core::CutId, core::CutId,
                                                      std::span<core::StepTime> steps) {
          for (core::StepTime& step : steps) {
            step.time = Seconds(a[step.step] + b[step.step] / share->share());
            clock.advance(step.time);
          }
        });
    std::vector<std::unique_ptr<device::Governor>> governors;
    governors.push_back(std::move(pace));
    shares = std::make_unique<device::Arbiter>(std::move(governors));
    options.edge.measure_levels = 3;
  }
  core::Result<table::Profile> profiled() {
    return profiler::profile(shared, timeless->example(), *shares, cloud, options);
  }
  profiler::ValidateOptions validating() {
    profiler::ValidateOptions validate;
    validate.idle_gap = milliseconds(10);
    validate.idle = [this](Seconds time) { clock.advance(time); };
    validate.clock = &clock;
    return validate;
  }

  std::shared_ptr<FakeExecutable> timeless =
      std::make_shared<FakeExecutable>(std::vector<Seconds>(3), std::int64_t{1000});
  std::shared_ptr<RetimedExecutable> shared;
  std::unique_ptr<device::Arbiter> shares;
};

TEST_F(LevelsTest, LevelsInBetweenAreThoseOfTheClosedForm) {
  const auto profile = profiled();
  ASSERT_TRUE(profile) << profile.error().message();
  const table::HostProfile& edge = profile->hosts[core::edge_host];
  ASSERT_EQ(edge.settings.size(), 6U);
  const double shares_of[] = {0.1, 0.2, 0.25, 0.5, 0.8, 1};
  const bool predicted[] = {false, false, true, true, true, false};
  for (std::size_t i = 0; i < 6; ++i) {
    EXPECT_EQ(edge.settings[i].predicted, predicted[i]);
    EXPECT_EQ(edge.settings[i].whole.samples == 0, predicted[i]);
    EXPECT_NEAR(edge.settings[i].whole.mean.count(), 3e-3 + 8e-3 / shares_of[i], 1e-7);
    EXPECT_NEAR(edge.settings[i].steps[1].mean.count(), 5e-3 / shares_of[i], 1e-7);
  }
  EXPECT_EQ(edge.fit.left_out, 1U);
  EXPECT_LT(edge.fit.worst_relative, 1e-6);
  // Both kinds were held out, and are told apart.
  EXPECT_GE(profile->error.configurations, 3U);
  EXPECT_GE(profile->predicted_error.configurations, 3U);
  EXPECT_LT(profile->predicted_error.p95_relative, 0.02);
}

TEST_F(LevelsTest, LessThanThreeMeasuredLevelsAreRefused) {
  options.edge.measure_levels = 2;
  EXPECT_EQ(profiled().error().code, core::Errc::invalid_argument);
}

TEST_F(LevelsTest, ValidationOfATrueProfileFindsNoError) {
  const auto profile = profiled();
  ASSERT_TRUE(profile);
  const auto report = profiler::validate_profile(*profile, shared, timeless->example(), *shares,
                                                 cloud, validating());
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->configurations.size(),
            report->measured.configurations + report->predicted.configurations);
  EXPECT_GE(report->measured.configurations, 5U);
  EXPECT_GE(report->predicted.configurations, 5U);
  EXPECT_LT(report->measured.p95_relative, 0.02);
  EXPECT_LT(report->predicted.p95_relative, 0.02);
  EXPECT_LT(report->worst_drift, 1e-6);
  for (const auto& one : report->configurations) {
    EXPECT_NEAR(one.measured.edge_compute.count(), one.predicted.edge_compute.count(), 1e-6);
    EXPECT_NEAR(one.measured.cloud_compute.count(), one.predicted.cloud_compute.count(), 1e-6);
    EXPECT_NEAR(one.measured.total().count(), one.latency.count(), 1e-6);
  }
}

TEST_F(LevelsTest, ValidationOfAProfileThatIsWrongByAThirdSaysSo) {
  auto profile = profiled();
  ASSERT_TRUE(profile);
  // All-edge alone: there the closed form of the error is that of the steps.
  profile->cuts.erase(profile->cuts.begin() + 1, profile->cuts.end() - 1);
  for (table::Setting& setting : profile->hosts[core::edge_host].settings)
    for (table::Timing& step : setting.steps) step.mean = step.mean * (4.0 / 3);
  const auto report = profiler::validate_profile(*profile, shared, timeless->example(), *shares,
                                                 cloud, validating());
  ASSERT_TRUE(report) << report.error().message();
  int seen = 0;
  for (const auto& one : report->configurations)
    if (one.configuration.cut() == profile->cuts.back().id) {
      EXPECT_NEAR(one.error(), 1.0 / 3, 1e-6);
      EXPECT_NEAR(one.repeat_error(), 0, 1e-6);
      EXPECT_EQ(one.covered(), one.interval >= 0.25 - 1e-9);
      ++seen;
    }
  EXPECT_GE(seen, 2);
}

TEST_F(LevelsTest, AMachineThatSlowsDownShowsAsDrift) {
  const auto profile = profiled();
  ASSERT_TRUE(profile);
  // Each round trip is 1 % longer than the one before it.
  cloud.on_call = [this](const exec::RemoteCall&) -> core::Result<void> {
    cloud.round_trip = cloud.round_trip * 1.01;
    return {};
  };
  const auto report = profiler::validate_profile(*profile, shared, timeless->example(), *shares,
                                                 cloud, validating());
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_GT(report->worst_drift, 0.1);
  EXPECT_LT(report->configurations.front().drift, 0);
  EXPECT_GT(report->configurations.back().drift, 0);
}

TEST_F(LevelsTest, ValidationRefusesOtherNetworksOtherKnobsAndALostCloud) {
  const auto profile = profiled();
  ASSERT_TRUE(profile);
  const auto code = [&](const table::Profile& checked, device::Arbiter& with) {
    const auto report =
        profiler::validate_profile(checked, shared, timeless->example(), with, cloud, validating());
    return report ? core::Errc::internal : report.error().code;
  };
  auto other = *profile;
  other.model.structure ^= 1;
  EXPECT_EQ(code(other, *shares), core::Errc::mismatch);
  EXPECT_EQ(code(*profile, *knobs), core::Errc::mismatch);
  cloud.on_call = [](const exec::RemoteCall&) -> core::Result<void> {
    return core::fail(core::Errc::unavailable, "connection lost");
  };
  EXPECT_EQ(code(*profile, *shares), core::Errc::unavailable);
  cloud.on_call = {};
  auto stopped = validating();
  std::stop_source stop;
  stop.request_stop();
  stopped.stop = stop.get_token();
  EXPECT_EQ(
      profiler::validate_profile(*profile, shared, timeless->example(), *shares, cloud, stopped)
          .error()
          .code,
      core::Errc::cancelled);
}

TEST(Summarise, FollowsItsClosedForms) {
  // Errors of 1 %, 2 %, ... 10 % of a latency of 1 s, measured again 0.5 % slower.
  std::vector<profiler::ValidatedConfiguration> rows(10);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].predicted.edge_compute = Seconds(1 + 0.01 * static_cast<double>(i + 1));
    rows[i].latency = Seconds(1);
    rows[i].again = Seconds(1.005);
    rows[i].interval = 0.0501;
  }
  rows.push_back(rows.back());
  rows.back().predicted_setting = true;
  const table::PredictionError error = profiler::summarise(rows, false);
  EXPECT_EQ(error.configurations, 10U);
  EXPECT_NEAR(error.median_relative, 0.055, 1e-12);
  EXPECT_NEAR(error.p95_relative, 0.0955, 1e-12);
  EXPECT_NEAR(error.repeat_median_relative, 0.005, 1e-12);
  // |1 - p| <= 0.0501 p up to p = 1.05.
  EXPECT_DOUBLE_EQ(error.covered, 0.5);
  // The ceil(0.9 * 11) = 10th smallest of ten is 0.10; the other bound is 1.645 sqrt(0.0385 / c),
  // with c = 4.865 from a table of the chi-squared distribution.
  EXPECT_NEAR(error.interval, 1.645 * std::sqrt(0.0385 / 4.865), 0.001);
  EXPECT_EQ(profiler::summarise(rows, true).configurations, 1U);
  EXPECT_EQ(profiler::summarise(rows, true).interval, 0);
  EXPECT_EQ(profiler::summarise({}, true), table::PredictionError());
}

TEST(Summarise, IntervalsHoldNineOfTenNewErrorsInNineOfTenChecks) {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 0.05);
  for (const std::size_t count : {10U, 18U, 30U}) {
    int holds = 0;
    double mean = 0;
    constexpr int checks = 2000;
    for (int check = 0; check < checks; ++check) {
      std::vector<profiler::ValidatedConfiguration> rows(count);
      for (auto& row : rows) {
        row.latency = row.again = Seconds(1);
        row.predicted.edge_compute = Seconds(1 + normal(random));
      }
      const double interval = profiler::summarise(rows, false).interval;
      const double coverage = std::erf(interval / 0.05 / std::sqrt(2.0));
      holds += coverage >= 0.9 ? 1 : 0;
      mean += coverage / checks;
    }
    EXPECT_GE(holds, 0.88 * checks) << count;
    EXPECT_LE(mean, 0.985) << "wider than it need be: " << count;
  }
}

TEST(UsefulCuts, AreThoseWithFewerBytesThanAllBeforeAndTheValleys) {
  const auto useful = [](std::vector<double> raw) {
    std::vector<table::CutProfile> cuts(raw.size());
    for (std::size_t i = 0; i < raw.size(); ++i) cuts[i].raw = core::Bytes(raw[i]);
    std::vector<std::size_t> indices;
    const std::vector<bool> found = profiler::useful_cuts(cuts);
    for (std::size_t i = 0; i < found.size(); ++i)
      if (found[i])
        indices.push_back(i);
    return indices;
  };
  using Indices = std::vector<std::size_t>;
  EXPECT_EQ(useful({100, 150, 80, 80, 20, 5}), (Indices{0, 2, 4}));
  // Blocks of a residual network: equal bytes between them, more inside.
  EXPECT_EQ(useful({50, 20, 20, 90, 90, 40, 20, 90, 40, 20, 1}), (Indices{0, 1, 6, 9}));
  // A valley above an earlier one, and one that goes on to the end.
  EXPECT_EQ(useful({50, 10, 60, 30, 60, 40, 40}), (Indices{0, 1, 3, 5}));
  EXPECT_EQ(useful({4, 3, 2, 1}), (Indices{0, 1, 2}));
  EXPECT_EQ(useful({4}), Indices{});
}

TEST(Statistics, FollowTheirClosedForms) {
  EXPECT_EQ(profiler::median_of({3, 1, 2}), 2);
  EXPECT_EQ(profiler::median_of({4, 1, 2, 3}), 2.5);
  EXPECT_EQ(profiler::quantile_of({0, 10}, 0.9), 9);
  EXPECT_EQ(profiler::mean_of({}), 0);
  EXPECT_DOUBLE_EQ(profiler::deviation_of({1, 2, 3, 4}), std::sqrt(5.0 / 3.0));
}

}  // namespace
}  // namespace cleave::tests
