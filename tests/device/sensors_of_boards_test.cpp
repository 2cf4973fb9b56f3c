#include "tests/device/fake_kernel.hpp"

#include <cleave/device/battery.hpp>
#include <cleave/device/hwmon.hpp>

#include <gtest/gtest.h>

namespace cleave::device_tests {
namespace {

using core::Seconds;
using device::HwmonSensor;
using Kind = HwmonSensor::Kind;

const std::string hwmon = "/sys/class/hwmon/";
const std::string supply = "/sys/class/power_supply/";

struct Board {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  device::Machine machine;
  device::SamplingOptions sampling;
  Board() {
    machine.sys = "/sys";
    machine.files = kernel;
    sampling.thread = false;
    sampling.clock = clock;
  }
  void chip(const std::string& folder, const std::map<std::string, std::string>& files) {
    for (const auto& [name, text] : files) kernel->put(hwmon + folder + "/" + name, text);
  }
  void battery(const std::string& name, const std::map<std::string, std::string>& files) {
    for (const auto& [file, text] : files) kernel->put(supply + name + "/" + file, text);
  }
  std::unique_ptr<device::Meter> hwmon_meter(std::size_t i) {
    return device::open_hwmon_meter(device::hwmon_sensors(machine).at(i), sampling, machine)
        .value();
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const HwmonSensor& sensor : device::hwmon_sensors(machine)) names.push_back(sensor.name);
    return names;
  }
};

TEST(Hwmon, IntegratesAChipThatMeasuresPower) {
  Board b;
  b.chip("hwmon1", {{"name", "ina226"}, {"power1_input", "4500000"}, {"update_interval", "140"}});
  EXPECT_EQ(b.names(), std::vector<std::string>{"hwmon:ina226/power1"});
  auto meter = b.hwmon_meter(0);
  ASSERT_TRUE(meter->read());
  b.clock->advance(Seconds(2));
  const auto reading = meter->read().value();
  EXPECT_NEAR(reading.joules.count(), 9, 1e-12);
  EXPECT_EQ(reading.source, hwmon + "hwmon1/power1_input");
  EXPECT_EQ(reading.origin, core::Origin::measured);
}

TEST(Hwmon, CountsTheChipsAveragingAsResolution) {
  Board b;
  b.chip("hwmon0", {{"name", "ina219"}, {"power1_input", "1000000"}, {"update_interval", "140"}});
  b.chip("hwmon1", {{"name", "power_meter"},
                    {"power1_average", "200000000"},
                    {"power1_average_interval", "1000"}});
  EXPECT_NEAR(b.hwmon_meter(0)->read().value().resolution.count(), 0.14, 1e-12);
  EXPECT_NEAR(b.hwmon_meter(1)->read().value().resolution.count(), 200, 1e-9);
}

TEST(Hwmon, MultipliesVoltsAndAmperesOfOneRailOnly) {
  Board b;
  b.chip("hwmon2", {{"name", "ina3221"},
                    {"in1_label", "VDD_IN"},
                    {"in1_input", "5000"},
                    {"curr1_input", "1200"},
                    {"in2_label", "VDD_CPU_GPU_CV"},
                    {"in2_input", "5000"},
                    {"curr2_input", "400"},
                    {"in3_input", "5000"},
                    {"curr3_input", "100"},
                    {"in3_enable", "0"},
                    {"in4_input", "6"},
                    {"curr4_input", "1"}});
  // Numbers alone do not make a rail.
  b.chip("hwmon3", {{"name", "nct6775"}, {"in1_input", "1000"}, {"curr1_input", "1000"}});
  EXPECT_EQ(b.names(),
            (std::vector<std::string>{"hwmon:ina3221/VDD_IN", "hwmon:ina3221/VDD_CPU_GPU_CV"}));
  auto meter = b.hwmon_meter(0);
  ASSERT_TRUE(meter->read());
  b.clock->advance(Seconds(10));
  EXPECT_NEAR(meter->read().value().joules.count(), 60, 1e-9);
}

TEST(Hwmon, PrefersACounterAndTellsAReset) {
  Board b;
  b.chip("hwmon0", {{"name", "ina228"}, {"energy1_input", "1000000"}, {"power1_input", "7"}});
  ASSERT_EQ(device::hwmon_sensors(b.machine).at(0).kind, Kind::energy);
  auto meter = b.hwmon_meter(0);
  b.kernel->files[hwmon + "hwmon0/energy1_input"] = "3500000";
  EXPECT_NEAR(meter->read().value().joules.count(), 2.5, 1e-12);
  b.kernel->files[hwmon + "hwmon0/energy1_input"] = "10";
  EXPECT_EQ(meter->read().error().code, Errc::corrupt);
}

TEST(Hwmon, NamesTwinsApart) {
  Board b;
  b.chip("hwmon4", {{"name", "ina226"}, {"power1_input", "1"}});
  b.chip("hwmon5", {{"name", "ina226"}, {"power1_input", "2"}});
  EXPECT_EQ(b.names(),
            (std::vector<std::string>{"hwmon:ina226/power1@hwmon4", "hwmon:ina226/power1@hwmon5"}));
}

TEST(Hwmon, FailsOnGarbageAndAFileThatVanishes) {
  Board b;
  b.chip("hwmon0", {{"name", "ina226"}, {"power1_input", "4500000"}});
  auto meter = b.hwmon_meter(0);
  const std::string file = hwmon + "hwmon0/power1_input";
  for (const std::string garbage : {"", "many", "1.5 W", "nan"}) {
    b.kernel->files[file] = garbage;
    EXPECT_EQ(meter->read().error().code, Errc::corrupt) << garbage;
  }
  b.kernel->files.erase(file);
  EXPECT_EQ(meter->read().error().code, Errc::not_found);
  b.kernel->hidden.insert(file);
  EXPECT_EQ(meter->read().error().code, Errc::permission_denied);
}

TEST(Battery, IntegratesPowerWhileDischarging) {
  Board b;
  b.battery("BAT0", {{"type", "Battery"}, {"status", "Discharging"}, {"power_now", "12500000"}});
  b.battery("AC", {{"type", "Mains"}});
  b.battery("hid-mouse", {{"type", "Battery"}, {"scope", "Device"}});
  EXPECT_EQ(device::batteries(b.machine), std::vector<std::string>{"BAT0"});
  auto meter = device::open_battery_meter("BAT0", b.sampling, b.machine).value();
  ASSERT_TRUE(meter->read());
  b.clock->advance(Seconds(4));
  const auto reading = meter->read().value();
  EXPECT_NEAR(reading.joules.count(), 50, 1e-9);
  EXPECT_EQ(meter->name(), "battery:BAT0");
  b.kernel->files[supply + "BAT0/status"] = "Charging";
  EXPECT_EQ(meter->read().error().code, core::Errc::unavailable) << "it says nothing now";
}

TEST(Battery, MultipliesCurrentAndVoltageWhateverTheSign) {
  Board b;
  b.battery("BAT1", {{"type", "Battery"},
                     {"status", "Discharging"},
                     {"current_now", "-1500000"},
                     {"voltage_now", "8000000"}});
  auto meter = device::open_battery_meter("BAT1", b.sampling, b.machine).value();
  ASSERT_TRUE(meter->read());
  b.clock->advance(Seconds(1));
  EXPECT_NEAR(meter->read().value().joules.count(), 12, 1e-9);
}

TEST(Battery, CountsWhatIsLeftWhereThereIsNoPower) {
  Board b;
  b.battery("BAT0", {{"type", "Battery"}, {"status", "Discharging"}, {"energy_now", "40000000"}});
  b.battery("BAT1", {{"type", "Battery"},
                     {"status", "Discharging"},
                     {"charge_now", "3000000"},
                     {"voltage_now", "12000000"}});
  auto energy = device::open_battery_meter("BAT0", b.sampling, b.machine).value();
  auto charge = device::open_battery_meter("BAT1", b.sampling, b.machine).value();
  b.kernel->files[supply + "BAT0/energy_now"] = "39900000";
  b.kernel->files[supply + "BAT1/charge_now"] = "2990000";
  b.kernel->files[supply + "BAT1/voltage_now"] = "11000000";
  EXPECT_NEAR(energy->read().value().joules.count(), 360, 1e-6);
  EXPECT_NEAR(energy->read().value().resolution.count(), 36, 1e-9);
  EXPECT_NEAR(charge->read().value().joules.count(), 0.01 * 3600 * 11.5, 1e-6);
}

TEST(Battery, MeasuresNothingOnMainsOrWithoutFigures) {
  Board b;
  b.battery("BAT0", {{"type", "Battery"}, {"status", "Full"}, {"power_now", "0"}});
  b.battery("BAT1", {{"type", "Battery"}, {"status", "Discharging"}});
  const auto full = device::open_battery_meter("BAT0", b.sampling, b.machine);
  EXPECT_EQ(full.error().code, core::Errc::unavailable);
  EXPECT_FALSE(full.error().hint.empty());
  EXPECT_EQ(device::open_battery_meter("BAT1", b.sampling, b.machine).error().code,
            core::Errc::unsupported);
  EXPECT_EQ(device::open_battery_meter("BAT9", b.sampling, b.machine).error().code,
            Errc::not_found);
}

}  // namespace
}  // namespace cleave::device_tests
