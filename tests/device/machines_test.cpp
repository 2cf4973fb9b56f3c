#include "tests/device/machines.hpp"

#include <cleave/device/discover.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/device/journal.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace cleave::device_tests {
namespace {

using core::Seconds;
using device::Status;

device::Governors governors_of(const FakeMachine& m) {
  device::DiscoverOptions options;
  options.cpufreq.state_dir = m.state.path();
  options.devfreq.state_dir = m.state.path();
  return device::discover_governors(options, m.machine());
}

device::Meters meters_of(const FakeMachine& m) {
  device::SamplingOptions sampling;
  sampling.thread = false;
  sampling.clock = m.clock;
  return device::discover_meters(m.machine(), sampling);
}

std::vector<std::string> knobs(const device::Governors& found) {
  std::vector<std::string> names;
  for (const auto& governor : found.governors) names.push_back(governor->knob().name);
  return names;
}

std::vector<std::string> names(const device::Meters& found) {
  std::vector<std::string> names;
  for (const auto& meter : found.meters) names.push_back(meter->name());
  return names;
}

device::Meter& meter_named(const device::Meters& found, const std::string& name) {
  for (const auto& meter : found.meters)
    if (meter->name() == name)
      return *meter;
  throw std::runtime_error("no meter " + name);
}

std::string lacking(const std::vector<device::Lacking>& list) {
  std::string names;
  for (const auto& lack : list) names += (names.empty() ? "" : " ") + lack.name;
  return names;
}

device::Finding finding(const FakeMachine& m, const std::string& topic) {
  for (const auto& found : device::diagnose(m.machine()))
    if (found.topic == topic)
      return found;
  ADD_FAILURE() << "nothing is said about " << topic;
  return {};
}

// Sets each level of each knob there is, and puts everything back.
void turn_everything(FakeMachine& m) {
  const std::string before = m.snapshot();
  auto found = governors_of(m);
  for (const auto& governor : found.governors) {
    if (governor->knob().name == "cpus")
      continue;  // the threads of this process, which has other CPUs
    for (std::size_t level = 0; level < governor->knob().levels.size(); ++level) {
      const auto index = static_cast<core::LevelIndex>(level);
      const auto applied = governor->apply(index);
      ASSERT_TRUE(applied) << applied.error().message();
      EXPECT_EQ(governor->current().value(), index) << governor->knob().name;
    }
    EXPECT_FALSE(m.snapshot() == before);
    ASSERT_TRUE(governor->restore());
    EXPECT_TRUE(m.snapshot() == before) << governor->knob().name;
  }
}

TEST(Laptop, OffersClampedClocksAndTwoKindsOfCpu) {
  FakeMachine m(laptop);
  const auto found = governors_of(m);
  EXPECT_EQ(knobs(found),
            (std::vector<std::string>{"cpu_frequency", "cpu_frequency.policy1",
                                      "cpu_frequency.policy2", "cpu_frequency.policy3", "cpus"}));
  EXPECT_EQ(found.governors[0]->knob().levels.back().label, "4400 MHz");
  EXPECT_EQ(found.governors[2]->knob().levels.back().label, "3300 MHz") << "an efficient CPU";
  EXPECT_EQ(found.governors[4]->knob().levels.size(), 3u);
  EXPECT_EQ(lacking(found.lacking), "devfreq gpu_clock");
  EXPECT_NE(finding(m, "cpufreq").what.find("(clamp)"), std::string::npos);
  EXPECT_EQ(finding(m, "affinity").what, "all: 4, performance: 2, efficient: 2");
  turn_everything(m);
}

TEST(Laptop, IsMeasuredByRaplAndItsBattery) {
  FakeMachine m(laptop);
  const auto found = meters_of(m);
  EXPECT_EQ(names(found), (std::vector<std::string>{"rapl", "battery:BAT0"}))
      << "hwmon's view of the battery is not a second meter";
  EXPECT_EQ(lacking(found.lacking), "hwmon nvml");
  auto& battery = meter_named(found, "battery:BAT0");
  ASSERT_TRUE(battery.read());
  m.clock->advance(Seconds(10));
  EXPECT_NEAR(battery.read().value().joules.count(), 94.8, 1e-9);
  EXPECT_EQ(finding(m, "battery").status, Status::warning);
  EXPECT_EQ(finding(m, "rapl").what, "energy of package-0");

  m.kernel->files["/sys/class/power_supply/BAT0/status"] = "Charging";
  EXPECT_EQ(lacking(meters_of(m).lacking), "hwmon battery:BAT0 nvml");
}

TEST(RaspberryPi4, OffersItsClocksAndAnIna219OnItsSupply) {
  FakeMachine m(raspberry_pi_4);
  const auto found = governors_of(m);
  ASSERT_EQ(knobs(found), std::vector<std::string>{"cpu_frequency"});
  EXPECT_EQ(found.governors[0]->knob().levels.size(), 10u);
  EXPECT_EQ(lacking(found.lacking), "devfreq cpus gpu_clock");
  EXPECT_NE(finding(m, "cpufreq").what.find("(userspace)"), std::string::npos);
  EXPECT_EQ(finding(m, "cpu").what, "4 CPUs, Raspberry Pi 4 Model B Rev 1.1");
  turn_everything(m);

  const auto meters = meters_of(m);
  ASSERT_EQ(names(meters), std::vector<std::string>{"hwmon:ina219/power1"});
  auto& ina = meter_named(meters, "hwmon:ina219/power1");
  ASSERT_TRUE(ina.read());
  m.clock->advance(Seconds(2));
  EXPECT_NEAR(ina.read().value().joules.count(), 8, 1e-9);
  EXPECT_EQ(finding(m, "hwmon").what, "power sensors: hwmon:ina219/power1");
  EXPECT_EQ(finding(m, "rapl").status, Status::missing);
}

TEST(Jetson, OffersTheGpusClockAndMeasuresItsRails) {
  FakeMachine m(jetson);
  const auto found = governors_of(m);
  ASSERT_EQ(knobs(found), (std::vector<std::string>{"cpu_frequency", "cpu_frequency.policy4",
                                                    "devfreq.17000000.gpu"}));
  EXPECT_EQ(found.governors[2]->knob().levels.size(), 5u);
  EXPECT_EQ(found.governors[2]->knob().levels[4].value, 624.75e6);
  EXPECT_EQ(finding(m, "devfreq").what, "17000000.gpu with 5 levels from 306 MHz to 625 MHz");
  turn_everything(m);

  const auto meters = meters_of(m);
  EXPECT_EQ(names(meters),
            (std::vector<std::string>{"hwmon:ina3221/VDD_IN", "hwmon:ina3221/VDD_CPU_GPU_CV",
                                      "hwmon:ina3221/VDD_SOC"}))
      << "the sum of currents and a shunt's voltage are no rail";
  auto& board = meter_named(meters, "hwmon:ina3221/VDD_IN");
  ASSERT_TRUE(board.read());
  m.clock->advance(Seconds(1));
  EXPECT_NEAR(board.read().value().joules.count(), 5.008 * 0.912, 1e-9);
}

TEST(AmdServer, CountsSocketsOnceByRapl) {
  FakeMachine m(amd_server);
  EXPECT_EQ(knobs(governors_of(m)).size(), 4u);
  EXPECT_NE(finding(m, "cpufreq").what.find("3 levels from 1500 MHz to 2250 MHz"),
            std::string::npos);
  turn_everything(m);

  const auto meters = meters_of(m);
  auto& rapl = meter_named(meters, "rapl");
  m.kernel->files["/sys/class/powercap/intel-rapl:0/energy_uj"] = "1389013";  // has wrapped
  m.kernel->files["/sys/class/powercap/intel-rapl:1/energy_uj"] = "65532500000";
  EXPECT_NEAR(rapl.read().value().joules.count(), 2.0 + 0.5, 1e-9);
  EXPECT_EQ(rapl.read().value().source, "RAPL package-0 package-1");
  auto& socket = meter_named(meters, "hwmon:amd_energy/Esocket1");
  m.kernel->files["/sys/class/hwmon/hwmon0/energy6_input"] = "12000000";
  EXPECT_NEAR(socket.read().value().joules.count(), 3, 1e-12);
  auto& machine = meter_named(meters, "hwmon:power_meter/power1");
  EXPECT_NEAR(machine.read().value().resolution.count(), 310, 1e-9) << "it averages over 1 s";
  EXPECT_EQ(meters.meters.size(), 8u);
  EXPECT_NE(finding(m, "hwmon").what.find("hwmon:amd_energy/Ecore000"), std::string::npos);
}

TEST(MachineWithNothing, LacksEverythingAndSaysWhy) {
  FakeMachine m;
  const auto governors = governors_of(m);
  const auto meters = meters_of(m);
  EXPECT_TRUE(governors.governors.empty());
  EXPECT_TRUE(meters.meters.empty());
  EXPECT_EQ(lacking(governors.lacking), "cpu_frequency devfreq cpus gpu_clock");
  EXPECT_EQ(lacking(meters.lacking), "rapl hwmon battery nvml");
  for (const auto* list : {&governors.lacking, &meters.lacking})
    for (const auto& lack : *list) {
      EXPECT_FALSE(lack.why.what.empty()) << lack.name;
      EXPECT_FALSE(lack.why.where.empty()) << lack.name;
      EXPECT_FALSE(lack.why.hint.empty()) << lack.name;
    }
  for (const std::string topic : {"cpufreq", "devfreq", "rapl", "hwmon", "battery", "gpu"})
    EXPECT_EQ(finding(m, topic).status, Status::missing) << topic;
}

// --- faults, on the Jetson's GPU and the laptop's policy ---

struct GpuClock {
  FakeMachine m{jetson};
  std::string dir = "/sys/class/devfreq/17000000.gpu/";
  std::unique_ptr<device::Governor> open() {
    return device::DevfreqGovernor::open("17000000.gpu", {core::edge_host, m.state.path()},
                                         m.machine())
        .value();
  }
};

TEST(Faults, PermissionDenied) {
  GpuClock f;
  auto governor = f.open();
  f.m.kernel->denied.insert(f.dir + "max_freq");
  EXPECT_EQ(governor->apply(0).error().code, Errc::permission_denied);
  const auto reopened = device::DevfreqGovernor::open(
      "17000000.gpu", {core::edge_host, f.m.state.path()}, f.m.machine());
  // The userspace governor is the other way.
  ASSERT_TRUE(reopened);
  EXPECT_EQ((*reopened)->method(), "userspace");
  f.m.kernel->denied.insert(f.dir + "governor");
  const auto denied = device::DevfreqGovernor::open(
      "17000000.gpu", {core::edge_host, f.m.state.path()}, f.m.machine());
  EXPECT_EQ(denied.error().code, Errc::permission_denied);
  EXPECT_FALSE(denied.error().hint.empty());
  EXPECT_EQ(finding(f.m, "devfreq").status, Status::warning);
}

TEST(Faults, ValueRejectedOrKeptByTheKernel) {
  GpuClock f;
  const std::string before = f.m.kernel->snapshot();
  auto governor = f.open();
  f.m.kernel->rule = [](const std::string& path, const std::string& value) -> Result<void> {
    if (path.ends_with("min_freq") && value == "510000000")
      return core::fail(Errc::invalid_argument, "Invalid argument", path);
    return {};
  };
  EXPECT_EQ(governor->apply(2).error().code, Errc::invalid_argument);
  f.m.kernel->rule = nullptr;
  f.m.kernel->ignored.insert(f.dir + "max_freq");
  const auto kept = governor->apply(0);
  EXPECT_EQ(kept.error().code, core::Errc::refused);
  EXPECT_NE(kept.error().where.find("max_freq"), std::string::npos);
  f.m.kernel->ignored.clear();
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(f.m.kernel->snapshot(), before);
}

TEST(Faults, FileVanishesMidRun) {
  GpuClock f;
  auto governor = f.open();
  ASSERT_TRUE(governor->apply(1));
  const std::string file = f.dir + "min_freq";
  f.m.kernel->files.erase(file);
  EXPECT_EQ(governor->apply(2).error().code, Errc::not_found);
  EXPECT_EQ(governor->current().error().code, Errc::not_found);
  EXPECT_TRUE(governor->restore()) << "there is nothing left to put back";
}

TEST(Faults, Garbage) {
  for (const std::string garbage : {"fast", "-1", "306000000 x", "1e9"}) {
    GpuClock f;
    f.m.kernel->files[f.dir + "available_frequencies"] = garbage;
    EXPECT_EQ(device::DevfreqGovernor::open("17000000.gpu", {}, f.m.machine()).error().code,
              Errc::corrupt)
        << garbage;
  }
  GpuClock f;
  auto governor = f.open();
  f.m.kernel->files[f.dir + "min_freq"] = "garbage";
  EXPECT_EQ(governor->apply(1).error().code, Errc::corrupt);
  f.m.kernel->files[f.dir + "available_frequencies"] = "";
  EXPECT_EQ(device::DevfreqGovernor::open("17000000.gpu", {}, f.m.machine()).error().code,
            core::Errc::unsupported);
}

TEST(Faults, ListOfLevelsChanges) {
  GpuClock f;
  auto governor = f.open();
  ASSERT_TRUE(governor->apply(4));
  f.m.kernel->files[f.dir + "available_frequencies"] = "306000000 408000000 510000000";
  const auto gone = governor->apply(3);
  EXPECT_EQ(gone.error().code, core::Errc::mismatch);
  EXPECT_NE(gone.error().what.find("612 MHz"), std::string::npos);
  EXPECT_TRUE(governor->apply(2)) << "the others are as before";

  FakeMachine server(amd_server);
  device::CpufreqOptions options;
  options.state_dir = server.state.path();
  auto cpu = device::CpufreqGovernor::open("policy0", options, server.machine()).value();
  server.kernel->files["/sys/devices/system/cpu/cpufreq/policy0/scaling_available_frequencies"] =
      "2000000 1500000";
  EXPECT_EQ(cpu->apply(2).error().code, core::Errc::mismatch);
  EXPECT_TRUE(cpu->apply(1));
}

TEST(Faults, EveryOperationInTurn) {
  // The Nth change fails, for every N: an error is told, and everything is put back.
  for (const bool userspace : {false, true}) {
    int n = 0;
    for (bool failed = true; failed; ++n) {
      GpuClock f;
      if (userspace) {
        f.m.kernel->denied.insert(f.dir + "min_freq");
        f.m.kernel->put(f.dir + "userspace/set_freq", "undefined");
      }
      auto governor = f.open();
      const std::string before = f.m.kernel->snapshot();
      f.m.kernel->fail_at = n;
      const auto first = governor->apply(1);
      const auto second = governor->apply(4);
      f.m.kernel->fail_at = -1;
      failed = !first || !second;
      ASSERT_TRUE(governor->restore());
      // The userspace governor keeps its last speed; nobody runs under it any more.
      if (userspace)
        f.m.kernel->files[f.dir + "userspace/set_freq"] = "undefined";
      EXPECT_EQ(f.m.kernel->snapshot(), before) << n;
      ASSERT_LT(n, 20);
    }
    EXPECT_GE(n, 3);
  }
}

TEST(Devfreq, ToleratesTheKernelsRoundingToKilohertz) {
  GpuClock f;
  f.m.kernel->files[f.dir + "available_frequencies"] = "306000000 408000999";
  // drivers/devfreq/devfreq.c: limits are requests in kHz, the minimum rounded down, the maximum
  // up.
  f.m.kernel->kept = [&](const std::string& path, const std::string& value) {
    const long hz = std::stol(value), up = path == f.dir + "max_freq" ? 999 : 0;
    return std::to_string((hz + up) / 1000 * 1000);
  };
  auto governor = f.open();
  ASSERT_TRUE(governor->apply(1));
  EXPECT_EQ(f.m.kernel->files[f.dir + "min_freq"], "408000000");
  EXPECT_EQ(f.m.kernel->files[f.dir + "max_freq"], "408001000");
  EXPECT_EQ(governor->current().value(), core::LevelIndex{1});
}

TEST(Devfreq, IsPutBackFromUserspace) {
  GpuClock f;
  f.m.kernel->files.erase(f.dir + "min_freq");
  f.m.kernel->files.erase(f.dir + "max_freq");
  f.m.kernel->files[f.dir + "governor"] = "userspace";
  f.m.kernel->put(f.dir + "userspace/set_freq", "408000000");
  const std::string before = f.m.kernel->snapshot();
  auto governor = f.open();
  EXPECT_EQ(governor->current().value(), core::LevelIndex{1});
  ASSERT_TRUE(governor->apply(3));
  EXPECT_EQ(f.m.kernel->files[f.dir + "userspace/set_freq"], "612000000");
  governor.reset();
  EXPECT_EQ(f.m.kernel->snapshot(), before);
}

}  // namespace
}  // namespace cleave::device_tests
