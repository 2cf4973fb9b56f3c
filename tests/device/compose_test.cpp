#include <cleave/device/compose.hpp>

#include <gtest/gtest.h>

#include <cmath>

namespace cleave::device_tests {
namespace {

using core::Errc;
using core::Joules;
using core::Seconds;
using core::Watts;
using device::EnergyReading;

// Says what it is told, in whole steps of its resolution.
class ToldMeter final : public device::Meter {
 public:
  EnergyReading reading;
  double energy = 0;
  int reads = 0;
  std::string called = "told";
  [[nodiscard]] std::string name() const override { return called; }
  [[nodiscard]] core::Result<EnergyReading> read() override {
    ++reads;
    const double step = reading.resolution.count();
    reading.joules = Joules(step > 0 ? std::floor(energy / step) * step : energy);
    return reading;
  }
};

std::unique_ptr<ToldMeter> told(double energy, double resolution, double error,
                                core::Origin origin = core::Origin::measured) {
  auto meter = std::make_unique<ToldMeter>();
  meter->energy = energy;
  meter->reading.resolution = Joules(resolution);
  meter->reading.error = Joules(error);
  meter->reading.origin = origin;
  meter->reading.source = "s" + std::to_string(static_cast<int>(energy));
  return meter;
}

TEST(SumMeter, AddsJoulesAndWhatIsNotKnownOfThem) {
  std::vector<std::unique_ptr<device::Meter>> meters;
  meters.push_back(told(8, 0.5, 3));
  meters.push_back(told(4, 0.25, 4));
  device::SumMeter sum(std::move(meters));
  const auto reading = sum.read().value();
  EXPECT_DOUBLE_EQ(reading.joules.count(), 12);
  EXPECT_DOUBLE_EQ(reading.resolution.count(), 0.75);
  EXPECT_DOUBLE_EQ(reading.error.count(), 5);
  EXPECT_EQ(reading.origin, core::Origin::measured);
  EXPECT_EQ(reading.source, "s8 + s4");
  EXPECT_EQ(sum.name(), "told + told");
}

TEST(SumMeter, IsModelledIfAPartIsAndMixesNoBoundaries) {
  std::vector<std::unique_ptr<device::Meter>> meters;
  meters.push_back(told(1, 0, 0));
  meters.push_back(told(1, 0, 0, core::Origin::modelled));
  auto* second = dynamic_cast<ToldMeter*>(meters[1].get());
  device::SumMeter sum(std::move(meters));
  EXPECT_EQ(sum.read().value().origin, core::Origin::modelled);
  second->reading.boundary = core::Boundary::edge_cloud_device;
  EXPECT_EQ(sum.read().error().code, Errc::mismatch);
}

TEST(AboveIdleMeter, TakesAwayWhatTheMachineDrawsAnyway) {
  const auto clock = std::make_shared<core::ManualClock>();
  auto meter = told(0, 0.5, 0);
  ToldMeter& raw = *meter;
  const auto idle = device::measure_idle(
                        raw,
                        [&] {
                          clock->advance(Seconds(10));
                          raw.energy += 25;
                        },
                        *clock)
                        .value();
  EXPECT_DOUBLE_EQ(idle.power.count(), 2.5);
  EXPECT_DOUBLE_EQ(idle.error.count(), 0.05);
  device::AboveIdleMeter above(std::move(meter), idle, clock);
  const double before = above.read().value().joules.count();
  clock->advance(Seconds(4));
  raw.energy += 4 * 2.5 + 7;
  const auto reading = above.read().value();
  EXPECT_DOUBLE_EQ(reading.joules.count() - before, 7);
  EXPECT_DOUBLE_EQ(reading.error.count(), 0.2);
  EXPECT_EQ(above.name(), "told - idle");
}

TEST(MeasureIdle, NeedsTime) {
  const core::ManualClock clock;
  EXPECT_EQ(device::measure_idle(
                *told(0, 0, 0), [] {}, clock)
                .error()
                .code,
            Errc::invalid_argument);
}

struct Work {
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::unique_ptr<ToldMeter> meter = told(0.3, 1, 0);
  int runs = 0;
  // Each run uses 1/64 J and takes 1 ms.
  core::Result<device::RepeatedEnergy> measure(const device::RepetitionOptions& options = {}) {
    return device::measure_repeated(
        *meter,
        [&]() -> core::Result<void> {
          ++runs;
          meter->energy += 1.0 / 64;
          clock->advance(core::milliseconds(1));
          return {};
        },
        *clock, options);
  }
};

TEST(MeasureRepeated, GoesOnUntilTheMeterSeesEnoughAndSaysSo) {
  Work work;
  const auto result = work.measure().value();
  // 100 J are 6400 runs; the next power of two is 8192.
  EXPECT_EQ(result.repetitions, 8192);
  EXPECT_EQ(work.runs, 8192);
  EXPECT_NEAR(result.one.joules.count(), 1.0 / 64, 1.0 / 8192) << "within its own resolution";
  EXPECT_DOUBLE_EQ(result.one.resolution.count(), 1.0 / 8192);
  EXPECT_NEAR(result.time.count(), 8.192, 1e-9);
  EXPECT_LE(work.meter->reads, 16) << "the meter is looked at seldom";
  EXPECT_NE(result.describe().find("over 8192 repetitions"), std::string::npos);
}

TEST(MeasureRepeated, RunsOnceWhatTheMeterSees) {
  Work work;
  work.meter->reading.resolution = Joules(1e-4);
  const auto result = work.measure().value();
  EXPECT_EQ(result.repetitions, 1);
  EXPECT_NE(result.describe().find("measured once"), std::string::npos);
}

TEST(MeasureRepeated, StopsAtItsBoundsWithTheResolutionItGot) {
  Work work;
  device::RepetitionOptions options;
  options.most = 100;
  const auto few = work.measure(options).value();
  EXPECT_EQ(few.repetitions, 100);
  EXPECT_DOUBLE_EQ(few.one.resolution.count(), 0.01);
  Work timed;
  options.most = 1'000'000;
  options.longest = Seconds(0.2);
  EXPECT_NEAR(timed.measure(options).value().repetitions, 200, 1);
}

TEST(MeasureRepeated, FailsIfTheMeterSeesNothing) {
  Work work;
  device::RepetitionOptions options;
  options.most = 10;
  EXPECT_EQ(work.measure(options).error().code, Errc::exhausted);
  options.most = 0;
  EXPECT_EQ(work.measure(options).error().code, Errc::invalid_argument);
  const auto failed = device::measure_repeated(
      *work.meter,
      []() -> core::Result<void> { return core::fail(Errc::unavailable, "no link", "cloud"); },
      *work.clock);
  EXPECT_EQ(failed.error().code, Errc::unavailable);
}

}  // namespace
}  // namespace cleave::device_tests
