// What goes on beside a measurement, on a kernel that the test makes up.
#include "profiler/host_wire.hpp"
#include "profiler/statistics.hpp"
#include "profiler/watch.hpp"
#include "tests/profiler/profiler_fixture.hpp"
#include "tests/support/retimed_executable.hpp"

#include <cleave/table/predictor.hpp>

#include <cmath>
#include <map>
#include <random>

namespace cleave::tests {
namespace {

using core::Seconds;

// /proc/stat of four CPUs (proc(5)) and one thermal zone, as the clock and the test say.
class MadeUpKernel final : public device::Files {
 public:
  explicit MadeUpKernel(const core::Clock& clock) : clock_(clock) {}

  core::Result<std::string> read(const std::filesystem::path& path) override {
    if (path == "/proc/stat") {
      const double ticks = 100 * clock_.now().count();
      const auto text = [](double value) { return std::to_string(std::llround(value)); };
      const std::string busy = text(4 * ticks * load), stolen = text(4 * ticks * steal);
      const std::string idle = text(4 * ticks * (1 - load - nice - steal));
      std::string stat = "cpu  " + busy + " " + text(4 * ticks * nice) + " 0 " + idle + " 0 0 0 " +
                         stolen + " 0 0\n";
      for (int cpu = 0; cpu < 4; ++cpu)
        stat += "cpu" + std::to_string(cpu) + " 0 0 0 0 0 0 0 0 0 0\n";
      return stat + "intr 0";
    }
    if (path == "/sys/class/thermal/thermal_zone0/temp")
      return std::to_string(std::llround(1000 * temperature()));
    if (path == "/sys/class/thermal/thermal_zone0/type")
      return std::string("cpu-thermal");
    return core::fail(core::Errc::not_found, "no such file", path.string());
  }
  core::Result<void> write(const std::filesystem::path&, std::string_view) override { return {}; }
  core::Result<void> make_directory(const std::filesystem::path&) override { return {}; }
  core::Result<void> remove_directory(const std::filesystem::path&) override { return {}; }
  bool exists(const std::filesystem::path&) override { return true; }
  bool writable(const std::filesystem::path&) override { return false; }
  std::vector<std::string> list(const std::filesystem::path& path) override {
    return path == "/sys/class/thermal" ? std::vector<std::string>{"thermal_zone0"}
                                        : std::vector<std::string>{};
  }
  std::optional<std::filesystem::path> resolve(const std::filesystem::path&) override {
    return std::nullopt;
  }

  double load = 0, nice = 0, steal = 0;
  std::function<double()> temperature = [] { return 50.0; };

 private:
  const core::Clock& clock_;
};

class ConditionsTest : public ProfilerTest {
 protected:
  ConditionsTest() {
    device::Machine machine;
    machine.files = kernel;
    options.edge.load = std::make_shared<device::LoadSensor>(machine);
    options.edge.cpu_time = [this] { return clock.now() * own; };
    options.edge.clock = &clock;
  }
  table::Conditions measure() {
    const auto host = profiler::measure_host(*model, model->example(), *knobs, options.edge);
    EXPECT_TRUE(host) << host.error().message();
    return host->conditions;
  }
  std::shared_ptr<MadeUpKernel> kernel = std::make_shared<MadeUpKernel>(clock);
  double own = 1;  // CPUs that this process uses
};

TEST_F(ConditionsTest, OthersLoadIsWhatThisProcessDidNotUse) {
  kernel->load = 0.6;  // 2.4 of 4 CPUs
  kernel->steal = 0.05;
  kernel->nice = 0.2;  // of programs that give way
  const table::Conditions seen = measure();
  EXPECT_NEAR(seen.others, (2.4 - own) / 4, 0.02);
  EXPECT_NEAR(seen.busiest, seen.others, 0.02);
  EXPECT_NEAR(seen.steal, 0.05, 0.01);
  EXPECT_EQ(seen.temperature, 50);
  EXPECT_EQ(seen.waited, Seconds(0));
  EXPECT_GT(seen.took, Seconds(1));
}

TEST_F(ConditionsTest, WhatTheKernelDoesNotTellIsUnknown) {
  options.edge.load = nullptr;
  const table::Conditions seen = measure();
  EXPECT_LT(seen.others, 0);
  EXPECT_LT(seen.steal, 0);
  EXPECT_LT(seen.temperature, 0);
}

TEST_F(ConditionsTest, AHotMachineIsLetCoolDownButNotForEver) {
  // It cools by five degrees a second from where it starts, and never below 60.
  kernel->temperature = [&] { return std::max(60.0, 90 - 5 * clock.now().count()); };
  options.edge.cool_below = 75;
  const table::Conditions seen = measure();
  EXPECT_NEAR(seen.waited.count(), 3, 0.6);
  options.edge.cool_below = 40;
  options.edge.longest_wait = Seconds(2);
  const std::size_t stretches = 2 * profiler::host_rounds;
  EXPECT_NEAR(measure().waited.count(), 2.0 * static_cast<double>(stretches), 0.1);
  std::stop_source stop;
  stop.request_stop();
  options.edge.stop = stop.get_token();
  EXPECT_EQ(profiler::measure_host(*model, model->example(), *knobs, options.edge).error().code,
            core::Errc::cancelled);
}

TEST_F(ConditionsTest, TheCloudTellsOfItsOwn) {
  kernel->load = 0.6;
  cloud_host.load = options.edge.load;
  cloud_host.cpu_time = options.edge.cpu_time;
  profiler::MeasureService service(cloud.models, *cloud_knobs, cloud_host);
  cloud.handlers["profile/measure"] = [&](std::span<const std::byte> body) {
    return service.measure(body);
  };
  options.edge.load = nullptr;
  const auto silent = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(silent) << silent.error().message();
  EXPECT_LT(silent->hosts[core::cloud_host].conditions.others, 0) << "it has no such method";
  cloud.handlers["profile/conditions"] = [&](std::span<const std::byte>) {
    return service.conditions();
  };
  const auto told = profiler::profile(model, model->example(), *knobs, cloud, options);
  ASSERT_TRUE(told) << told.error().message();
  EXPECT_NEAR(told->hosts[core::cloud_host].conditions.others, 0.35, 0.05);
}

TEST(HostWire, ConditionsSurviveTheWireAndTheirTruncationsDoNot) {
  const table::Conditions seen{0.1, 0.2, 0.3, -1, Seconds(4), Seconds(5)};
  const auto message = profiler::write_conditions(seen);
  const auto parsed = profiler::parse_conditions(message);
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(*parsed, seen);
  for (std::size_t length = 0; length < message.size(); ++length)
    EXPECT_FALSE(profiler::parse_conditions(std::span(message).first(length)));
  auto endless = seen;
  endless.steal = std::nan("");
  EXPECT_FALSE(profiler::parse_conditions(profiler::write_conditions(endless)));
}

TEST(Outliers, AreThoseFarBeyondTheUsualScatter) {
  std::mt19937 random(1);
  std::normal_distribution<double> usual(10, 0.1);
  std::vector<double> sample(1000);
  for (double& x : sample) x = usual(random);
  EXPECT_EQ(profiler::outliers_in(sample), 0u);
  sample[3] = 12;
  sample[500] = 50;
  sample[501] = 9;
  EXPECT_EQ(profiler::outliers_in(sample), 3u);
  EXPECT_EQ(profiler::outliers_in({}), 0u);
  EXPECT_EQ(profiler::outliers_in({5}), 0u);
}

TEST_F(ProfilerTest, ASettingWhoseMessagesAreSlowIsPredictedSo) {
  int threads = 2;
  // The knob is put back when it goes, so it must go before what it sets.
  const auto counts = thread_knob({1, 2}, [&](int n) {
    threads = n;
    return core::Result<void>();
  });
  // With one thread a message takes 30 ms longer, and passes a little, so that two are fastest.
  const auto edge = std::make_shared<RetimedExecutable>(
      model, [&](core::CutId, core::CutId, std::span<core::StepTime> steps) {
        for (core::StepTime& step : steps)
          if (threads == 1) {
            step.time += core::milliseconds(1);
            clock.advance(core::milliseconds(1));
          }
      });
  cloud.on_call = [&](const exec::RemoteCall& call) -> core::Result<void> {
    if (threads == 1 && call.service != profiler::profile_service)
      clock.advance(core::milliseconds(30));
    return {};
  };
  const auto profile = profiler::profile(edge, model->example(), *counts, cloud, options);
  ASSERT_TRUE(profile) << profile.error().message();
  const auto overhead = [&](core::LevelIndex level) {
    core::Configuration configuration;
    configuration.stages = {{core::edge_host, model->cuts()[1].id, {level}},
                            {core::cloud_host, model->cuts().back().id, {0}}};
    configuration.codecs = {"raw"};
    return table::price(*profile, configuration)->overhead;
  };
  EXPECT_NEAR((overhead(0) - overhead(1)).count(), 0.030, 1e-6);
  EXPECT_LT(profile->error.p90_relative, 0.02);
}

}  // namespace
}  // namespace cleave::tests
