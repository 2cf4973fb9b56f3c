#include <cleave/device/sampling.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <condition_variable>
#include <mutex>
#include <random>
#include <vector>

namespace cleave::device_tests {
namespace {

using core::Errc;
using core::Seconds;
using core::Watts;
using device::CounterMeter;
using device::PowerIntegrator;
using device::SamplingMeter;

TEST(PowerIntegrator, IsExactForARampAtAnyTimes) {
  // p(t) = 3 + 2t from 0.5 to 4: 3 * 3.5 + (16 - 0.25) J.
  PowerIntegrator integrator;
  for (double t : {0.5, 0.6, 1.7, 1.75, 3.0, 4.0}) integrator.add(Seconds(t), Watts(3 + 2 * t));
  EXPECT_NEAR(integrator.joules().count(), 10.5 + 15.75, 1e-12);
  EXPECT_DOUBLE_EQ(integrator.time().count(), 3.5);
  EXPECT_DOUBLE_EQ(integrator.longest().count(), 1.25);
  EXPECT_EQ(integrator.intervals(), 5u);
}

TEST(PowerIntegrator, ConvergesAsTheTrapezoidalRuleDoes) {
  // One period of 1 + sin: exactly 1 J a second; at uneven times the error falls with the square.
  double last = 0;
  for (int n : {100, 200, 400}) {
    PowerIntegrator integrator;
    for (int i = 0; i <= n; ++i) {
      const double x = static_cast<double>(i) / n, t = x * x;
      integrator.add(Seconds(t), Watts(1 + std::sin(M_PI * t)));
    }
    const double error = std::abs(integrator.joules().count() - (1 + 2 / M_PI));
    if (last > 0) {
      EXPECT_NEAR(last / error, 4, 0.2);
    }
    last = error;
  }
}

TEST(PowerIntegrator, EstimatesItsErrorForAPowerThatChangesBetweenSamples) {
  // Independent samples of a power with mean 5 W: the spread of the integral over many trials is
  // what each trial says of itself.
  std::mt19937 random(1);
  std::normal_distribution<double> power(5, 2);
  std::uniform_real_distribution<double> step(0.5, 1.5);
  double spread = 0, told = 0;
  constexpr int trials = 2000;
  for (int trial = 0; trial < trials; ++trial) {
    PowerIntegrator integrator;
    double t = 0;
    for (int i = 0; i <= 50; ++i, t += step(random))
      integrator.add(Seconds(t), Watts(power(random)));
    const double off = integrator.joules().count() - 5 * integrator.time().count();
    spread += off * off;
    told += integrator.error().count() * integrator.error().count();
  }
  EXPECT_NEAR(std::sqrt(told / spread), 1, 0.08);
}

TEST(PowerIntegrator, HasNoErrorUnderAConstantAndCountsNoGap) {
  PowerIntegrator integrator;
  integrator.add(Seconds(0), Watts(4));
  integrator.add(Seconds(1), Watts(4));
  integrator.interrupt();
  integrator.add(Seconds(10), Watts(4));
  integrator.add(Seconds(12), Watts(4));
  EXPECT_DOUBLE_EQ(integrator.joules().count(), 12);
  EXPECT_EQ(integrator.error().count(), 0);
  EXPECT_DOUBLE_EQ(integrator.mean().count(), 4);
}

// A sensor whose every reading takes 2 ms.
struct Sensor {
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  std::shared_ptr<double> watts = std::make_shared<double>(10);
  std::shared_ptr<bool> broken = std::make_shared<bool>(false);
  std::unique_ptr<SamplingMeter> open(Seconds averaging = {}) {
    device::PowerSource source;
    source.name = "test";
    source.source = "a sensor";
    source.averaging = averaging;
    source.read = [clock = clock, watts = watts, broken = broken]() -> core::Result<Watts> {
      clock->advance(core::milliseconds(2));
      if (*broken)
        return core::fail(Errc::not_found, "the sensor is gone", "a sensor");
      return Watts(*watts);
    };
    return SamplingMeter::open(source, {core::milliseconds(100), false, clock}).value();
  }
};

TEST(SamplingMeter, IntegratesFromTheFirstReadWithRealTimeStamps) {
  Sensor sensor;
  auto meter = sensor.open();
  EXPECT_EQ(meter->read().value().joules.count(), 0);
  sensor.clock->advance(Seconds(0.998));
  *sensor.watts = 20;
  ASSERT_TRUE(meter->sample());
  sensor.clock->advance(Seconds(2.998));
  const auto reading = meter->read().value();
  // From middle to middle of the readings: 1 s from 10 to 20 W, then 3 s at 20 W.
  EXPECT_NEAR(reading.joules.count(), 15 + 60, 1e-9);
  EXPECT_NEAR(reading.error.count(), 10 / std::sqrt(2.0), 1e-9);
  EXPECT_NEAR(reading.overhead.count(), 0.006, 1e-12);
  EXPECT_EQ(reading.origin, core::Origin::measured);
  EXPECT_EQ(reading.source, "a sensor");
  // The mean of 18.75 W over the mean interval of 2 s.
  EXPECT_NEAR(reading.resolution.count(), 37.5, 1e-9);
  EXPECT_EQ(meter->samples(), 3u);
  EXPECT_NEAR(meter->longest_gap().count(), 3, 1e-12);
}

TEST(SamplingMeter, ResolvesNoLessThanWhatTheSensorAveragesOver) {
  Sensor sensor;
  auto meter = sensor.open(Seconds(30));
  EXPECT_DOUBLE_EQ(meter->read().value().resolution.count(), 300);
}

TEST(SamplingMeter, SaysOnceThatSamplesFailedAndCountsNothingMeanwhile) {
  Sensor sensor;
  auto meter = sensor.open();
  ASSERT_TRUE(meter->read());
  *sensor.broken = true;
  EXPECT_EQ(meter->sample().error().code, Errc::not_found);
  *sensor.broken = false;
  sensor.clock->advance(Seconds(100));
  EXPECT_EQ(meter->read().error().code, Errc::not_found) << "the gap is not hidden";
  const double before = meter->read().value().joules.count();
  sensor.clock->advance(Seconds(0.998));
  EXPECT_NEAR(meter->read().value().joules.count() - before, 10, 1e-9);
  EXPECT_LT(before, 1);
}

TEST(SamplingMeter, OpensNoSensorThatCannotBeRead) {
  device::PowerSource source;
  source.read = []() -> core::Result<Watts> {
    return core::fail(Errc::permission_denied, "no", "here");
  };
  EXPECT_EQ(SamplingMeter::open(source).error().code, Errc::permission_denied);
}

TEST(SamplingMeter, SamplesByItselfOnAThreadThatEndsWithIt) {
  std::mutex mutex;
  std::condition_variable sampled;
  int samples = 0;
  device::PowerSource source;
  source.read = [&]() -> core::Result<Watts> {
    const std::lock_guard lock(mutex);
    ++samples;
    sampled.notify_all();
    return Watts(1);
  };
  device::SamplingOptions options;
  options.period = core::microseconds(100);
  auto meter = SamplingMeter::open(source, options).value();
  EXPECT_EQ(samples, 1) << "no thread before the first read";
  ASSERT_TRUE(meter->read());
  std::unique_lock lock(mutex);
  sampled.wait(lock, [&] { return samples >= 5; });
  lock.unlock();
  EXPECT_GT(meter->read().value().joules.count(), 0);
  meter.reset();  // joins: what it reads may go
}

TEST(CounterMeter, FollowsACounterThatFalls) {
  double left = 100;
  device::CounterSource source;
  source.read = [&]() -> core::Result<double> { return left; };
  source.unit = core::Joules(3.6);
  source.resolution = core::Joules(36);
  source.falls = true;
  auto meter = CounterMeter::open(source).value();
  left = 90;
  EXPECT_DOUBLE_EQ(meter->read().value().joules.count(), 36);
  left = 95;
  EXPECT_EQ(meter->read().error().code, Errc::corrupt) << "it was charged";
  left = 85;
  EXPECT_DOUBLE_EQ(meter->read().value().joules.count(), 72) << "and counting goes on from there";
}

TEST(CounterMeter, TellsAResetFromAWrap) {
  double count = 90;
  device::CounterSource source;
  source.read = [&]() -> core::Result<double> { return count; };
  source.unit = core::Joules(1);
  auto unbounded = CounterMeter::open(source).value();
  source.range = 100;
  auto wrapping = CounterMeter::open(source).value();
  count = 20;
  EXPECT_EQ(unbounded->read().error().code, Errc::corrupt);
  EXPECT_DOUBLE_EQ(wrapping->read().value().joules.count(), 30);
  for (double garbage : {-1.0, std::nan(""), HUGE_VAL}) {
    count = garbage;
    EXPECT_EQ(wrapping->read().error().code, Errc::corrupt) << garbage;
  }
}

TEST(CounterMeter, ResolvesNoLessThanWhatIsUsedBetweenTwoUpdates) {
  double count = 0;
  const auto clock = std::make_shared<core::ManualClock>();
  device::CounterSource source;
  source.read = [&]() -> core::Result<double> { return count; };
  source.unit = core::Joules(1e-6);
  source.resolution = core::Joules(61e-6);
  source.update = core::milliseconds(1);
  auto meter = CounterMeter::open(source, core::Boundary::edge, clock).value();
  EXPECT_DOUBLE_EQ(meter->read().value().resolution.count(), 61e-6);
  count = 100e6;
  clock->advance(Seconds(2));
  EXPECT_DOUBLE_EQ(meter->read().value().resolution.count(), 0.05) << "1 ms at 50 W";
}

TEST(Readings, DifferBetweenTwoPoints) {
  device::EnergyReading from, to;
  from.joules = core::Joules(10);
  from.error = core::Joules(3);
  from.overhead = Seconds(1);
  to.joules = core::Joules(25);
  to.error = core::Joules(5);
  to.overhead = Seconds(3);
  to.resolution = core::Joules(0.5);
  const auto used = device::between(from, to);
  EXPECT_DOUBLE_EQ(used.joules.count(), 15);
  EXPECT_DOUBLE_EQ(used.error.count(), 4);
  EXPECT_DOUBLE_EQ(used.overhead.count(), 2);
  EXPECT_DOUBLE_EQ(used.resolution.count(), 0.5);
}

}  // namespace
}  // namespace cleave::device_tests
