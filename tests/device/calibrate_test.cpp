#include "tests/device/machines.hpp"

#include <cleave/device/board.hpp>
#include <cleave/device/calibrate.hpp>
#include <cleave/device/open_governor.hpp>
#include <cleave/device/sampling.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <random>
#include <utility>

namespace cleave::device_tests {
namespace {

using core::Joules;
using core::Seconds;
using core::Watts;
using device::FittedPower;
using device::PowerSample;

struct Truth {
  double idle, one, all;
  [[nodiscard]] double power(int cores, int of, double share) const {
    if (cores == 0)
      return idle;
    const double busy = of == 1 ? all : one + (cores - 1) * (all - one) / (of - 1);
    return idle + share * (busy - idle);
  }
};

std::vector<PowerSample> samples_of(const Truth& truth, int all, double noise, unsigned seed,
                                    int times = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> error(0, noise > 0 ? noise : 1);
  std::vector<PowerSample> samples;
  for (int i = 0; i < times; ++i)
    for (const auto& [cores, share] : std::vector<std::pair<int, double>>{
             {0, 0}, {1, 1}, {1, 0.4}, {all, 0.7}, {all, 0.97}, {(all + 1) / 2, 1}})
      samples.push_back({cores, share,
                         Watts(truth.power(cores, all, share) + (noise > 0 ? error(random) : 0)),
                         Watts(noise)});
  return samples;
}

TEST(FitPower, RecoversTheTruthExactlyWithoutNoise) {
  for (const Truth truth : {Truth{2.7, 3.6, 6.4}, Truth{100, 140, 405}, Truth{0.5, 0.5, 0.5}})
    for (const int all : {2, 4, 56}) {
      const FittedPower fit = device::fit_power(samples_of(truth, all, 0, 1), all).value();
      EXPECT_NEAR(fit.idle.count(), truth.idle, 1e-9 * truth.all);
      EXPECT_NEAR(fit.busy_one_core.count(), truth.one, 1e-9 * truth.all);
      EXPECT_NEAR(fit.busy.count(), truth.all, 1e-9 * truth.all);
      EXPECT_NEAR(fit.residual.count(), 0, 1e-9 * truth.all);
      EXPECT_NEAR(fit.busy_error.count(), 0, 1e-9 * truth.all);
      EXPECT_EQ(fit.samples, 6);
    }
  const std::vector<PowerSample> single{{0, 0, Watts(3), {}}, {1, 0.5, Watts(4), {}}};
  const FittedPower fit = device::fit_power(single, 1).value();
  EXPECT_NEAR(fit.idle.count(), 3, 1e-12);
  EXPECT_NEAR(fit.busy.count(), 5, 1e-12);
  EXPECT_EQ(fit.busy_one_core, fit.busy);
}

// z = (fit - truth) / standard error is normal: its mean square over many fits is near 1.
TEST(FitPower, TellsHowFarOffItIs) {
  const Truth truth{2.7, 3.6, 6.4};
  const int fits = 400;
  std::array<double, 3> squares{};
  double residual = 0;
  for (int i = 0; i < fits; ++i) {
    const FittedPower fit =
        device::fit_power(samples_of(truth, 4, 0.05, static_cast<unsigned>(i), 5), 4).value();
    const auto z = [](Watts found, double true_watts, Watts error) {
      return std::pow((found.count() - true_watts) / error.count(), 2);
    };
    squares[0] += z(fit.idle, truth.idle, fit.idle_error);
    squares[1] += z(fit.busy_one_core, truth.one, fit.busy_one_core_error);
    squares[2] += z(fit.busy, truth.all, fit.busy_error);
    residual += fit.residual.count() / fits;
  }
  // The standard deviation of a mean of 400 chi-squares is 0.07; errors are never below the meter's
  // own, which makes z a little small.
  for (const double sum : squares) {
    EXPECT_GT(sum / fits, 0.65);
    EXPECT_LT(sum / fits, 1.3);
  }
  EXPECT_NEAR(residual, 0.05 * std::sqrt(27.0 / 30), 0.002);
}

TEST(FitPower, MakesWattsEqualThatNoiseAloneKeepsApart) {
  std::vector<PowerSample> samples{{0, 0, Watts(2.00), Watts(0.1)},
                                   {1, 1, Watts(1.95), Watts(0.1)},
                                   {2, 1, Watts(3.00), Watts(0.1)}};
  const FittedPower fit = device::fit_power(samples, 2).value();
  EXPECT_NEAR(fit.idle.count(), 1.975, 1e-9);
  EXPECT_EQ(fit.idle, fit.busy_one_core);
  samples[1].power = Watts(1.0);
  EXPECT_EQ(device::fit_power(samples, 2).error().code, core::Errc::exhausted);
}

TEST(FitPower, RefusesSamplesThatDoNotTellEnough) {
  const std::vector<PowerSample> same{{0, 0, Watts(1), {}}, {2, 1, Watts(2), {}}};
  EXPECT_EQ(device::fit_power(same, 2).error().code, Errc::invalid_argument);
  EXPECT_EQ(device::fit_power({}, 2).error().code, Errc::invalid_argument);
  const std::vector<PowerSample> many{{3, 1, Watts(1), {}}};
  EXPECT_EQ(device::fit_power(many, 2).error().code, Errc::invalid_argument);
}

// A machine whose clock moves while a load runs, and whose meter counts what it then draws.
struct FakeBench {
  FakeMachine m{jetson};
  core::ManualClock clock;
  int all = 4;
  double noise = 0;
  Joules resolution{1e-6};
  core::Origin origin = core::Origin::measured;
  Seconds reading;  // that a look at the meter takes
  device::SamplingMeter* sampled = nullptr;
  int waits = 0, stop_after = 1 << 30;
  double drawn = 0;
  std::mt19937 random{7};

  // By the GPU's clock, which is the knob here.
  [[nodiscard]] Truth truth() const {
    const double mhz = std::stod(m.kernel->files["/sys/class/devfreq/17000000.gpu/max_freq"]) / 1e6;
    return {4 + mhz / 1000, 5 + mhz / 500, 6 + mhz / 100};
  }
  struct {
    int cores = 0;
    double share = 0;
  } running;
  [[nodiscard]] double power() const { return truth().power(running.cores, all, running.share); }
  void pass(Seconds time, double off = 0) {
    drawn += (power() + off) * time.count();
    clock.advance(time);
  }
  core::Result<void> wait(Seconds time) {
    if (++waits > stop_after)
      return core::fail(core::Errc::cancelled, "interrupted");
    std::normal_distribution<double> error(0, noise > 0 ? noise : 1);
    pass(time, noise > 0 ? error(random) : 0);
    return sampled != nullptr ? sampled->sample() : core::Result<void>();
  }
  device::Load load() {
    return [this](int cores, double share, const auto& meanwhile) -> core::Result<double> {
      running = {cores, 0.98 * share};  // threads start late
      const core::Result<void> done = meanwhile();
      const double reached = std::exchange(running, {}).share;
      if (!done)
        return core::fail(done);
      return cores == 0 ? 0 : reached;
    };
  }
  class Meter final : public device::Meter {
   public:
    explicit Meter(FakeBench& bench) : bench_(bench) {}
    [[nodiscard]] std::string name() const override { return "fake"; }
    [[nodiscard]] core::Result<device::EnergyReading> read() override {
      bench_.pass(bench_.reading * 0.5);
      device::EnergyReading reading;
      const double step = bench_.resolution.count();
      reading.joules = Joules(std::floor(bench_.drawn / step) * step);
      reading.resolution = bench_.resolution;
      reading.origin = bench_.origin;
      reading.source = "/sys/fake";
      bench_.pass(bench_.reading * 0.5);
      return reading;
    }

   private:
    FakeBench& bench_;
  };
  device::CalibrationOptions options() const {
    device::CalibrationOptions options;
    options.name = "bench";
    options.all = all;
    return options;
  }
  core::Result<device::Calibration> run(device::CalibrationOptions options,
                                        const std::string& knob = "devfreq=306,510,625") {
    std::vector<std::unique_ptr<device::Governor>> governors;
    if (!knob.empty())
      governors.push_back(
          device::open_governor(knob, {core::edge_host, m.state.path()}, m.machine()).value());
    device::Arbiter arbiter(std::move(governors));
    options.wait = [this](Seconds time) { return wait(time); };
    Meter counter(*this);
    device::Meter& meter = sampled != nullptr ? static_cast<device::Meter&>(*sampled) : counter;
    return device::calibrate(meter, arbiter, load(), clock, options);
  }
};

TEST(Calibrate, RecoversAKnownMachineAndPutsItsKnobBack) {
  FakeBench bench;
  const std::string before = bench.m.snapshot();
  auto options = bench.options();
  options.cores = {1, 2, 4};
  options.shares = {0.5, 1};
  std::vector<double> told;
  options.progress = [&](double part, std::string_view) { told.push_back(part); };
  const auto calibration = bench.run(options).value();
  EXPECT_EQ(bench.m.snapshot(), before);
  ASSERT_EQ(calibration.levels.size(), 3u);
  EXPECT_EQ(calibration.knob, "devfreq.17000000.gpu");
  for (const auto& [level, power] : calibration.levels) {
    const double mhz = level.value / 1e6;
    // A microjoule of resolution in five seconds.
    EXPECT_NEAR(power.idle.count(), 4 + mhz / 1000, 1e-6) << level.label;
    EXPECT_NEAR(power.busy_one_core.count(), 5 + mhz / 500, 1e-6) << level.label;
    EXPECT_NEAR(power.busy.count(), 6 + mhz / 100, 1e-6) << level.label;
    EXPECT_EQ(power.samples, 3 * (1 + 3 * 2));
  }
  EXPECT_EQ(told.size(), 63u);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_LT(told.back(), 1);
}

TEST(Calibrate, WritesADescriptionThatLoads) {
  FakeBench bench;
  bench.noise = 0.1;
  const auto calibration = bench.run(bench.options()).value();
  const fs::path path = bench.m.state.path() / "bench.json";
  ASSERT_TRUE(device::save(calibration, path));
  const auto board = device::load_board(path);
  ASSERT_TRUE(board) << board.error().message();
  EXPECT_EQ(board->origin, core::Origin::measured);
  EXPECT_EQ(board->cores, 4);
  EXPECT_FALSE(board->by_mode);
  EXPECT_NE(board->citation().find("fake"), std::string::npos);
  ASSERT_EQ(board->levels.size(), 3u);
  for (const auto& level : board->levels) {
    const double mhz = level.frequency.count() / 1e6;
    EXPECT_GT(level.busy.error.count(), 0.0);
    EXPECT_LT(level.busy.error.count(), 0.2);
    EXPECT_NEAR(level.idle.watts.count(), 4 + mhz / 1000, 5 * level.idle.error.count());
    EXPECT_NEAR(level.busy.watts.count(), 6 + mhz / 100, 5 * level.busy.error.count());
    EXPECT_FALSE(level.busy.derived);
  }
}

TEST(Calibrate, TakesAMachineWithoutKnobsAndModesByTheirPower) {
  FakeBench bench;
  const auto one = bench.run(bench.options(), "").value();
  ASSERT_EQ(one.levels.size(), 1u);
  const fs::path path = bench.m.state.path() / "bench.json";
  ASSERT_TRUE(device::save(one, path));
  EXPECT_EQ(device::load_board(path).value().levels[0].mode, "default");

  // "fast" comes first and draws more.
  device::Calibration modes = one;
  modes.levels.insert(modes.levels.begin(), modes.levels.front());
  modes.levels[0].level.label = "fast";
  modes.levels[0].power.busy += Watts(3);
  modes.levels[1].level.label = "slow";
  ASSERT_TRUE(device::save(modes, path));
  const auto board = device::load_board(path).value();
  EXPECT_EQ(board.levels[0].mode, "slow");
  EXPECT_EQ(board.levels[1].mode, "fast");
}

TEST(Calibrate, RepeatsWhatTheMeterDoesNotResolve) {
  FakeBench bench;
  bench.resolution = Joules(5);  // some 25 J in 5 s
  const auto calibration = bench.run(bench.options(), "").value();
  const double once = 3.0 * 3 * (1 + 5);  // rounds, loads, settling and measuring
  EXPECT_GT(calibration.time.count(), 4 * once);
  const Truth truth = bench.truth();
  const auto& power = calibration.levels[0].power;
  EXPECT_NEAR(power.idle.count(), truth.idle, 3 * power.idle_error.count());
  EXPECT_NEAR(power.busy.count(), truth.all, 3 * power.busy_error.count());
}

TEST(Calibrate, PutsTheKnobBackWhateverGoesWrong) {
  for (const int waits : {0, 1, 5, 17}) {
    FakeBench bench;
    const std::string before = bench.m.snapshot();
    bench.stop_after = waits;
    EXPECT_EQ(bench.run(bench.options()).error().code, core::Errc::cancelled);
    EXPECT_EQ(bench.m.snapshot(), before) << waits;
    EXPECT_EQ(bench.m.state.size(), 0u) << "no journal is left";
  }
  FakeBench stopped;
  std::stop_source stop;
  stop.request_stop();
  auto options = stopped.options();
  options.stop = stop.get_token();
  EXPECT_EQ(stopped.run(options).error().code, core::Errc::cancelled);
  EXPECT_EQ(stopped.waits, 0);
}

TEST(Calibrate, RefusesWhatMakesNoSense) {
  FakeBench bench;
  const auto code = [&](auto change) {
    auto options = bench.options();
    change(options);
    const auto done = bench.run(options);
    return done ? Errc::internal : done.error().code;
  };
  EXPECT_EQ(code([](auto& o) { o.name = "a b"; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.all = 0; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.cores = {5}; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.cores = {4}; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.shares = {1.5}; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.shares = {}; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.rounds = 0; }), Errc::invalid_argument);
  EXPECT_EQ(code([](auto& o) { o.time = Seconds(0); }), Errc::invalid_argument);
  EXPECT_EQ(bench.waits, 0);
  bench.origin = core::Origin::modelled;
  EXPECT_EQ(code([](auto&) {}), core::Errc::unsupported);
}

// A command that prints joules takes some 20 ms, during which an idle machine would be measured.
TEST(Calibrate, ASlowMeterIsReadUnderTheLoad) {
  FakeBench bench;
  bench.reading = core::milliseconds(25);
  auto options = bench.options();
  options.time = core::milliseconds(500);
  const auto calibration = bench.run(options, "").value();
  const Truth truth = bench.truth();
  const auto& power = calibration.levels[0].power;
  EXPECT_NEAR(power.idle.count(), truth.idle, 1e-5 * truth.all);
  EXPECT_NEAR(power.busy_one_core.count(), truth.one, 1e-5 * truth.all);
  EXPECT_NEAR(power.busy.count(), truth.all, 1e-5 * truth.all);
}

// A power that is sampled more seldom than a measurement lasts: its first and last sample count.
TEST(Calibrate, SamplesOfAPowerAreTakenUnderTheLoad) {
  FakeBench bench;
  device::PowerSource source;
  source.name = "sampled";
  source.read = [&]() -> core::Result<Watts> {
    bench.pass(core::milliseconds(10));
    return Watts(bench.power());
  };
  source.period = Seconds(1);
  device::SamplingOptions sampling;
  sampling.thread = false;
  sampling.clock = std::shared_ptr<core::Clock>(&bench.clock, [](core::Clock*) {});
  const auto meter = device::SamplingMeter::open(source, sampling).value();
  bench.sampled = meter.get();
  auto options = bench.options();
  options.time = core::milliseconds(500);
  const auto calibration = bench.run(options, "").value();
  const Truth truth = bench.truth();
  EXPECT_NEAR(calibration.levels[0].power.idle.count(), truth.idle, 1e-9 * truth.all);
  EXPECT_NEAR(calibration.levels[0].power.busy.count(), truth.all, 1e-9 * truth.all);
}

TEST(BusyLoad, GivesWhatWentWrongMeanwhile) {
  for (const int cores : {0, 2})
    EXPECT_EQ(
        device::busy_load()(
            cores, 1,
            [] { return core::Result<void>(core::fail(core::Errc::cancelled, "interrupted")); })
            .error()
            .code,
        core::Errc::cancelled);
}

// Whatever else runs: a thread cannot use more CPU time than there was, nor an idle one any.
TEST(BusyLoad, TellsTheShareThatItReached) {
  const auto load = device::busy_load();
  const auto while_this_runs = [] {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(20)) {
    }
    return core::Result<void>();
  };
  EXPECT_EQ(load(0, 0, while_this_runs).value(), 0);
  const double reached = load(1, 1, while_this_runs).value();
  EXPECT_GT(reached, 0);
  EXPECT_LE(reached, 1.01);
}

}  // namespace
}  // namespace cleave::device_tests
