#include "tests/device/machines.hpp"

#include <cleave/device/measure_power.hpp>
#include <cleave/device/open_governor.hpp>

#include <gtest/gtest.h>

#include <array>

namespace cleave::device_tests {
namespace {

using core::Joules;
using core::Seconds;

// 3 W idle, and busy 2 W more for each 100 MHz of the GPU and for each thread.
struct MeteredMachine {
  FakeMachine m{jetson};
  core::ManualClock clock;
  double drawn = 0;
  int threads = 1, passes = 0;
  Joules resolution{1e-3};
  core::Origin origin = core::Origin::measured;
  std::unique_ptr<device::Arbiter> knobs;

  MeteredMachine() {
    std::vector<std::unique_ptr<device::Governor>> governors;
    governors.push_back(
        device::open_governor("devfreq=306,612", {core::edge_host, m.state.path()}, m.machine())
            .value());
    governors.push_back(
        std::make_unique<device::ThreadsGovernor>(std::vector<int>{1, 2}, 1, [this](int count) {
          threads = count;
          return core::Result<void>();
        }));
    knobs = std::make_unique<device::Arbiter>(std::move(governors));
  }
  [[nodiscard]] double busy() const {
    return 3 + 2 * threads +
           std::stod(m.kernel->files["/sys/class/devfreq/17000000.gpu/max_freq"]) / 0.5e8;
  }
  class Meter final : public device::Meter {
   public:
    explicit Meter(MeteredMachine& machine) : machine_(machine) {}
    [[nodiscard]] std::string name() const override { return "fake"; }
    [[nodiscard]] core::Result<device::EnergyReading> read() override {
      device::EnergyReading reading;
      reading.joules = Joules(machine_.drawn);
      reading.resolution = machine_.resolution;
      reading.origin = machine_.origin;
      return reading;
    }

   private:
    MeteredMachine& machine_;
  };
  device::PowerMeasurement measurement() {
    device::PowerMeasurement measurement;
    measurement.work = [this]() -> core::Result<void> {
      ++passes;
      drawn += busy() * 0.03;
      clock.advance(Seconds(0.03));
      return {};
    };
    measurement.idle = [this](Seconds time) {
      drawn += 3 * time.count();
      clock.advance(time);
    };
    return measurement;
  }
  core::Result<device::PowerOf> run(const device::PowerMeasurement& measurement) {
    Meter meter(*this);
    return device::measure_power(meter, *knobs, clock, measurement);
  }
};

TEST(MeasurePower, GivesTheWattsOfEachCombination) {
  MeteredMachine machine;
  std::vector<double> told;
  auto measurement = machine.measurement();
  measurement.progress = [&](double part) { told.push_back(part); };
  const auto power = machine.run(measurement).value();
  for (const core::LevelIndex clock : {0, 1})
    for (const core::LevelIndex threads : {0, 1}) {
      const std::array<core::LevelIndex, 2> levels{clock, threads};
      const auto at = power(levels);
      EXPECT_NEAR(at.busy.count(), 3 + 2 * (threads + 1) + (clock == 0 ? 306 : 612) / 50.0, 1e-9);
      EXPECT_NEAR(at.idle.count(), 3, 1e-9);
      EXPECT_EQ(at.machine_busy, at.busy);
      EXPECT_EQ(at.origin, core::Origin::measured);
    }
  EXPECT_EQ(told, (std::vector<double>{0.25, 0.5, 0.75, 1}));
  EXPECT_GE(machine.passes, 4 * int(2 / 0.03));
  EXPECT_THROW((void)power(std::array<core::LevelIndex, 2>{2, 0}), std::out_of_range);
}

TEST(MeasurePower, RepeatsWhatTheMeterDoesNotResolve) {
  MeteredMachine machine;
  machine.resolution = Joules(1);
  const auto power = machine.run(machine.measurement()).value();
  const std::array<core::LevelIndex, 2> levels{0, 0};
  EXPECT_NEAR(power(levels).idle.count(), 3, 1e-9);
  // A hundred resolutions at 3 W are 33 s, of which it takes at most 20.
  EXPECT_GT(machine.clock.now(), Seconds(4 * 15));
}

TEST(MeasurePower, Fails) {
  MeteredMachine machine;
  auto measurement = machine.measurement();
  measurement.work = nullptr;
  EXPECT_EQ(machine.run(measurement).error().code, Errc::invalid_argument);
  measurement = machine.measurement();
  measurement.work = [] { return core::Result<void>(core::fail(Errc::io, "broken")); };
  EXPECT_EQ(machine.run(measurement).error().code, Errc::io);
  std::stop_source stop;
  stop.request_stop();
  measurement = machine.measurement();
  measurement.stop = stop.get_token();
  EXPECT_EQ(machine.run(measurement).error().code, core::Errc::cancelled);
  machine.origin = core::Origin::modelled;
  EXPECT_EQ(machine.run(machine.measurement()).error().code, core::Errc::unsupported);
}

}  // namespace
}  // namespace cleave::device_tests
