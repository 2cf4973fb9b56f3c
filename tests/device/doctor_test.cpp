#include "tests/device/fake_kernel.hpp"

#include <cleave/core/version.hpp>
#include <cleave/device/doctor.hpp>
#include <cleave/device/provenance.hpp>
#include <cleave/device/sensors.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

namespace cleave::device_tests {
namespace {

using device::Diagnosis;
using device::Finding;
using device::Status;

struct Fixture {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  std::map<std::string, std::string> environment;
  device::Machine machine() {
    device::Machine machine = machine_on(kernel);
    machine.environment = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = environment.find(name);
      return found == environment.end() ? std::nullopt : std::optional(found->second);
    };
    return machine;
  }
  Finding finding(const std::string& topic) {
    for (const Finding& found : device::diagnose(machine()))
      if (found.topic == topic)
        return found;
    ADD_FAILURE() << "nothing is said about " << topic;
    return {};
  }
};

TEST(Doctor, SaysWhatToDoAboutEverythingThatHoldsAUserBack) {
  Fixture f;  // a machine with nothing
  const Diagnosis diagnosis = device::diagnose(f.machine());
  for (const std::string topic : {"cpufreq", "cgroup", "rapl", "openmp", "blas", "pressure"}) {
    const auto found = std::find_if(diagnosis.begin(), diagnosis.end(),
                                    [&](const Finding& x) { return x.topic == topic; });
    ASSERT_NE(found, diagnosis.end()) << topic;
    EXPECT_NE(found->status, Status::ok) << topic;
    EXPECT_FALSE(found->what_to_do.empty()) << topic;
  }
}

TEST(Doctor, KnowsTheReferenceBlasByItsPath) {
  Fixture f;
  f.kernel->put("/lib/x86_64-linux-gnu/libblas.so.3", "");
  EXPECT_EQ(f.finding("blas").status, Status::warning);

  // On real symbolic links, as Debian's alternatives make them.
  TemporaryFolder lib;
  const fs::path arch = lib.path() / "x86_64-linux-gnu";
  fs::create_directories(arch / "openblas-openmp");
  fs::create_directories(arch / "blas");
  for (const auto* kind : {"openblas-openmp", "blas"})
    fs::create_symlink("/dev/null", arch / kind / "libblas.so.3");
  device::Machine machine;
  machine.lib = lib.path();
  const auto blas = [&] {
    for (const Finding& found : device::diagnose(machine))
      if (found.topic == "blas")
        return found.status;
    return Status::missing;
  };
  EXPECT_EQ(blas(), Status::missing);
  fs::remove(arch / "openblas-openmp/libblas.so.3");
  std::ofstream(arch / "openblas-openmp/libblas.so.3") << "";
  fs::create_symlink(arch / "openblas-openmp/libblas.so.3", arch / "libblas.so.3");
  EXPECT_EQ(blas(), Status::ok);
}

TEST(Doctor, WarnsOfSpinningThreads) {
  Fixture f;
  EXPECT_EQ(f.finding("openmp").status, Status::warning);
  f.environment["OMP_WAIT_POLICY"] = "ACTIVE";
  EXPECT_EQ(f.finding("openmp").status, Status::warning);
  f.environment["OMP_WAIT_POLICY"] = "PASSIVE";
  EXPECT_EQ(f.finding("openmp").status, Status::ok);
  for (const auto& [count, status] : std::map<std::string, Status>{{"0", Status::ok},
                                                                   {"5000", Status::ok},
                                                                   {"300000", Status::warning},
                                                                   {"5k", Status::warning},
                                                                   {"infinity", Status::warning}}) {
    f.environment["GOMP_SPINCOUNT"] = count;
    EXPECT_EQ(f.finding("openmp").status, status) << count;
  }
}

TEST(Doctor, DescribesALaptop) {
  Fixture f;
  f.kernel->put("/proc/stat", "cpu  1 0 1 10 0 0 0 0\ncpu0 1 0 1 5 0 0 0 0\ncpu1 0 0 0 5 0 0 0 0");
  f.kernel->put("/proc/cpuinfo", "processor\t: 0\nmodel name\t: Some Laptop CPU\n");
  f.kernel->put("/proc/loadavg", "3.10 1 1 1/100 1");
  f.kernel->put("/proc/meminfo", "MemTotal:  16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB");
  f.kernel->put("/proc/pressure/cpu", "some avg10=50.00 avg60=1.00 avg300=0 total=1");
  f.kernel->put("/sys/class/power_supply/BAT0/type", "Battery");
  f.kernel->put("/sys/class/power_supply/BAT0/status", "Discharging");
  f.kernel->put("/sys/class/hwmon/hwmon0/name", "ina226");
  f.kernel->put("/sys/class/hwmon/hwmon0/power1_input", "4500000");
  f.kernel->put("/sys/class/thermal/thermal_zone0/type", "x86_pkg_temp");
  f.kernel->put("/sys/class/thermal/thermal_zone0/temp", "81000");
  EXPECT_EQ(f.finding("cpu").what, "2 CPUs, Some Laptop CPU");
  EXPECT_EQ(f.finding("load").status, Status::warning);
  EXPECT_EQ(f.finding("memory").what, "8.0 GiB available of 16.0 GiB");
  EXPECT_EQ(f.finding("pressure").status, Status::warning);
  EXPECT_EQ(f.finding("battery").status, Status::warning);
  EXPECT_NE(f.finding("hwmon").what.find("hwmon:ina226/power1"), std::string::npos);
  EXPECT_EQ(f.finding("temperature").status, Status::warning);
}

TEST(ThisMachine, IsWhatProcfsSays) {
  Fixture f;
  f.kernel->put("/proc/stat", "cpu  1 0 1 10 0 0 0 0\ncpu0 1 0 1 5 0 0 0 0\ncpu1 0 0 0 5 0 0 0 0");
  f.kernel->put("/proc/sys/kernel/hostname", "camera-1");
  f.kernel->put("/proc/device-tree/model", "Some Board Rev 1");
  const core::Provenance here = device::this_machine(f.machine());
  EXPECT_EQ(here.machine, "camera-1");
  EXPECT_EQ(here.processor, "Some Board Rev 1");
  EXPECT_EQ(here.cpus, 2U);
  EXPECT_EQ(here.device, "");
  EXPECT_EQ(here.libraries, (std::vector<core::Library>{{"cleave", std::string(core::version())}}));
}

TEST(ThisMachine, WhatCannotBeReadIsUnknown) {
  const core::Provenance here = device::this_machine(Fixture().machine());
  EXPECT_EQ(here.machine + here.processor, "");
  EXPECT_EQ(here.cpus, 0U);
}

TEST(Doctor, TellsWhetherSharesCanBeSet) {
  Fixture f;
  f.kernel->mount_v1("/cg/cpu", {"1"});
  f.kernel->put("/proc/self/cgroup", "1:cpu:/");
  const std::string before = f.kernel->snapshot();
  EXPECT_EQ(f.finding("cgroup").status, Status::ok);
  EXPECT_EQ(f.kernel->snapshot(), before) << "looking changes nothing";
  f.kernel->denied.insert("/cg/cpu");
  EXPECT_EQ(f.finding("cgroup").status, Status::warning);
}

TEST(Doctor, WritesJsonThatSurvivesAnything) {
  const std::string text = device::to_json(
      {{"cpu", Status::ok, "a \"quoted\" name\n\xff", ""}, {"rapl", Status::missing, "x", "y"}});
  EXPECT_NE(text.find("\"status\": \"missing\""), std::string::npos);
  EXPECT_NE(text.find("\\\"quoted\\\""), std::string::npos);
}

TEST(Doctor, LooksAtThisMachineWithoutFailing) {
  const Diagnosis diagnosis = device::diagnose();
  EXPECT_GE(diagnosis.size(), 12u);
  for (const Finding& found : diagnosis) EXPECT_FALSE(found.topic.empty() || found.what.empty());
}

TEST(LoadSensor, ComputesUtilisationBetweenReads) {
  Fixture f;
  device::LoadSensor sensor(f.machine());
  f.kernel->put("/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 0 0 0 0");
  EXPECT_EQ(sensor.read().utilisation, std::nullopt) << "one reading is no difference";
  // 20 user + 10 system + 5 interrupts of 100 ticks, 10 stolen, the rest idle or waiting.
  f.kernel->put("/proc/stat", "cpu  120 0 110 845 10 0 5 10 0 0\ncpu0 0 0 0 0");
  const auto reading = sensor.read();
  ASSERT_TRUE(reading.utilisation && reading.steal);
  EXPECT_NEAR(*reading.utilisation, 0.35, 1e-12);
  EXPECT_NEAR(*reading.steal, 0.10, 1e-12);
  EXPECT_EQ(sensor.read().utilisation, std::nullopt) << "no time has passed";
}

TEST(LoadSensor, LeavesOutWhatItCannotRead) {
  Fixture f;
  device::LoadSensor sensor(f.machine());
  f.kernel->put("/proc/stat", "cpu  x y z");
  f.kernel->put("/proc/pressure/cpu", "some avg10=150 avg60=0");
  f.kernel->put("/proc/meminfo", "MemTotal: lots kB");
  f.kernel->put("/sys/class/thermal/thermal_zone0/temp", "warm");
  for (int i = 0; i < 2; ++i) {
    const auto reading = sensor.read();
    EXPECT_FALSE(reading.utilisation || reading.cpu_pressure || reading.memory_total ||
                 reading.temperature);
  }
}

TEST(LoadSensor, ReadsPressureMemoryAndTheHottestCpuZone) {
  Fixture f;
  f.kernel->put(
      "/proc/pressure/memory",
      "some avg10=2.50 avg60=0 avg300=0 total=0\nfull avg10=1.00 avg60=0 avg300=0 total=0");
  f.kernel->put("/proc/meminfo", "MemTotal: 2048 kB\nMemAvailable: 1024 kB");
  const std::string zones = "/sys/class/thermal/thermal_zone";
  f.kernel->put(zones + "0/type", "acpitz");
  f.kernel->put(zones + "0/temp", "90000");
  f.kernel->put(zones + "1/type", "cpu-thermal");
  f.kernel->put(zones + "1/temp", "48500");
  f.kernel->put(zones + "2/type", "cpu-thermal");
  f.kernel->put(zones + "2/temp", "47000");
  const auto reading = device::LoadSensor(f.machine()).read();
  EXPECT_NEAR(reading.memory_pressure->some, 0.025, 1e-12);
  EXPECT_NEAR(reading.memory_pressure->full, 0.01, 1e-12);
  EXPECT_EQ(reading.memory_available->count(), 1024 * 1024);
  EXPECT_EQ(reading.temperature, 48.5);
}

}  // namespace
}  // namespace cleave::device_tests
