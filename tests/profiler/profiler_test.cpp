#include "profiler/cuts.hpp"
#include "profiler/host_wire.hpp"
#include "profiler/statistics.hpp"
#include "profiler/validate.hpp"
#include "tests/support/fake_cloud.hpp"
#include "tests/support/fake_executable.hpp"

#include <cleave/device/governor.hpp>
#include <cleave/profiler/profiler.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/transport/codec.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

std::unique_ptr<device::Arbiter> thread_knob(std::vector<int> counts,
                                             device::ThreadsGovernor::Setter set) {
  std::vector<std::unique_ptr<device::Governor>> governors;
  governors.push_back(
      std::make_unique<device::ThreadsGovernor>(std::move(counts), 1, std::move(set)));
  return std::make_unique<device::Arbiter>(std::move(governors));
}

device::HostPower ten_watts(std::span<const core::LevelIndex>) {
  return {core::Watts(10), core::Watts(2), core::Watts(100), core::Origin::modelled};
}

class ProfilerTest : public testing::Test {
 protected:
  ProfilerTest() {
    cloud.handlers["profile/machine"] = [this](std::span<const std::byte>) {
      return measure.machine();
    };
    cloud.round_trip = milliseconds(10);
    cloud.rate = core::megabits_per_second(20);
    cloud.handlers["profile/measure"] = [this](std::span<const std::byte> body) {
      return measure.measure(body);
    };
    options.model_name = "fake";
    options.edge.power = ten_watts;
    options.edge.name = "edge";
    options.edge.made_on = {"edge", "a small processor", 4, "cpu", {}};
    options.edge.idle_gap = milliseconds(10);
    options.edge.idle = [this](Seconds time) { clock.advance(time); };
    options.clock = &clock;
    options.every_cut = true;
  }

  core::ManualClock clock;
  std::vector<Seconds> times{milliseconds(3), milliseconds(5), milliseconds(7)};
  std::shared_ptr<FakeExecutable> model =
      std::make_shared<FakeExecutable>(times, std::int64_t{1000}, &clock);
  FakeCloud cloud{clock, model};
  std::unique_ptr<device::Arbiter> knobs =
      thread_knob({1, 2}, [](int) { return core::Result<void>(); });
  std::unique_ptr<device::Arbiter> cloud_knobs =
      thread_knob({1}, [](int) { return core::Result<void>(); });
  profiler::HostOptions cloud_host = [this] {
    profiler::HostOptions host;
    host.name = "cloud";
    host.made_on = {"cloud", "a large processor", 64, "cuda:0", {{"libtorch", "2.6.0"}}};
    host.power = ten_watts;
    host.clock = &clock;
    return host;
  }();
  profiler::MeasureService measure{cloud.models, *cloud_knobs, cloud_host};
  profiler::ProfileOptions options;
};

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
