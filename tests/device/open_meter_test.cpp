#include "tests/device/machines.hpp"

#include <cleave/device/open_meter.hpp>

#include <gtest/gtest.h>

namespace cleave::device_tests {
namespace {

using core::Seconds;

core::Result<std::unique_ptr<device::Meter>> open(const FakeMachine& m, const std::string& names) {
  device::SamplingOptions sampling;
  sampling.thread = false;
  sampling.clock = m.clock;
  return device::open_meter(names, sampling, m.machine());
}

TEST(OpenMeter, KnowsEveryMeterByItsName) {
  const FakeMachine laptop_on_battery(laptop), nano(jetson);
  for (const std::string name : {"rapl", "battery:BAT0"})
    EXPECT_EQ(open(laptop_on_battery, name).value()->name(), name);
  EXPECT_EQ(open(laptop_on_battery, "battery").value()->name(), "battery:BAT0");
  EXPECT_EQ(open(nano, "hwmon:ina3221/VDD_IN").value()->name(), "hwmon:ina3221/VDD_IN");
  EXPECT_EQ(open(nano, "command:joules:echo 1,5 | tr , .").value()->name(), "command");
}

TEST(OpenMeter, SumsWhatIsListed) {
  const FakeMachine m(jetson);
  auto meter =
      open(m, "hwmon:ina3221/VDD_CPU_GPU_CV,hwmon:ina3221/VDD_SOC,command:watts:echo 1").value();
  ASSERT_TRUE(meter->read());
  m.clock->advance(Seconds(10));
  EXPECT_NEAR(meter->read().value().joules.count(), 10 * (0.8 + 1.4 + 1), 1e-9);
}

TEST(OpenMeter, ChoosesRaplThenTheBattery) {
  FakeMachine m(laptop);
  EXPECT_EQ(open(m, "auto").value()->name(), "rapl");
  for (const char* zone : {"intel-rapl:0", "intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:1"})
    m.kernel->hidden.insert("/sys/class/powercap/" + std::string(zone) + "/energy_uj");
  EXPECT_EQ(open(m, "auto").value()->name(), "battery:BAT0");
  m.kernel->files["/sys/class/power_supply/BAT0/status"] = "Full";
  EXPECT_EQ(open(m, "auto").error().code, Errc::permission_denied) << "RAPL's is the reason told";
}

TEST(OpenMeter, SaysWhatThereIsInstead) {
  const FakeMachine nano(jetson), with_rapl(laptop), nothing;
  const auto missing = open(nano, "hwmon:ina3221/VDD_OUT");
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_NE(missing.error().hint.find("hwmon:ina3221/VDD_SOC"), std::string::npos);
  for (const std::string name : {"rapl", "battery", "battery:BAT0", "hwmon:x/y", "nvml:0", "auto"})
    EXPECT_EQ(open(nothing, name).error().code, Errc::not_found) << name;
  for (const std::string name : {"", "raple", "rapl,", ",rapl", "nvml:x", "nvml", "command:echo 1"})
    EXPECT_EQ(open(with_rapl, name).error().code, Errc::invalid_argument) << name;
}

}  // namespace
}  // namespace cleave::device_tests
