#include "tests/device/fake_kernel.hpp"

#include <cleave/device/discover.hpp>
#include <cleave/device/meter.hpp>

#include <gtest/gtest.h>

#include <map>
#include <stdexcept>

namespace cleave::device_tests {
namespace {

using core::Boundary;
using core::Origin;
using core::Seconds;
using device::Activity;
using device::ModelledMeter;
using device::RaplMeter;

const std::string powercap = "/sys/class/powercap/";

void zone(FakeKernel& kernel, const std::string& name, const std::string& label,
          const std::string& energy) {
  kernel.put(powercap + name + "/name", label);
  kernel.put(powercap + name + "/energy_uj", energy);
  kernel.put(powercap + name + "/max_energy_range_uj", "262143328850");
}

// A two-socket server as Documentation/power/powercap/powercap.rst lays it out, with a psys zone
// and the memory-mapped twin of package 0. A reconstruction.
struct Server {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  device::Machine machine;
  Server() {
    machine.sys = "/sys";
    machine.files = kernel;
    zone(*kernel, "intel-rapl:0", "package-0", "1000000");
    zone(*kernel, "intel-rapl:0:0", "dram", "500");
    zone(*kernel, "intel-rapl:0:1", "core", "1");
    zone(*kernel, "intel-rapl:1", "package-1", "2000000");
    zone(*kernel, "intel-rapl:2", "psys", "7000000");
    zone(*kernel, "intel-rapl-mmio:0", "package-0", "1000000");
  }
  void set(const std::string& name, const std::string& energy) {
    kernel->files[powercap + name + "/energy_uj"] = energy;
  }
};

TEST(Rapl, SumsPackagesAndMemoryAndNothingTwice) {
  Server s;
  auto meter = RaplMeter::open(s.machine).value();
  EXPECT_EQ(meter->domains(),
            (std::vector<std::string>{"package-0", "package-0/dram", "package-1"}));
  EXPECT_EQ(meter->read().value().joules.count(), 0);
  s.set("intel-rapl:0", "4000000");
  s.set("intel-rapl:1", "2500000");
  s.set("intel-rapl:2", "99000000");
  s.set("intel-rapl:0:0", "250500");
  s.set("intel-rapl:0:1", "99000001");
  const auto reading = meter->read().value();
  EXPECT_NEAR(reading.joules.count(), 3.75, 1e-12);
  EXPECT_EQ(reading.origin, Origin::measured);
  EXPECT_EQ(reading.boundary, Boundary::edge);
  EXPECT_GT(reading.resolution.count(), 0);
  EXPECT_EQ(reading.source, "RAPL package-0 package-0/dram package-1");
  std::map<std::string, double> parts;
  for (device::Meter* part : meter->parts())
    parts[part->name()] = part->read().value().joules.count();
  EXPECT_EQ(parts, (std::map<std::string, double>{{"package-0/core", 99.0}, {"psys", 92.0}}));
}

TEST(Rapl, CountsOnWhenACounterWraps) {
  Server s;
  s.set("intel-rapl:0", "262143000000");
  auto meter = RaplMeter::open(s.machine).value();
  s.set("intel-rapl:0", "671150");
  EXPECT_NEAR(meter->read().value().joules.count(), 1.0, 1e-9);
  s.set("intel-rapl:0", "1671150");
  EXPECT_NEAR(meter->read().value().joules.count(), 2.0, 1e-9);
}

TEST(Rapl, ExplainsAMissingPermission) {
  Server s;
  s.kernel->hidden.insert(powercap + "intel-rapl:0/energy_uj");
  const auto meter = RaplMeter::open(s.machine);
  ASSERT_FALSE(meter);
  EXPECT_EQ(meter.error().code, Errc::permission_denied);
  EXPECT_NE(meter.error().hint.find("CVE-2020-8694"), std::string::npos);
}

TEST(Rapl, RefusesGarbage) {
  for (const std::string garbage : {"", "lots", "-5", "nan", "12 13"}) {
    Server s;
    s.set("intel-rapl:1", garbage);
    EXPECT_EQ(RaplMeter::open(s.machine).error().code, Errc::corrupt) << garbage;
  }
}

TEST(Rapl, ReportsAFileThatVanishesAndGoesOnWhenItIsBack) {
  Server s;
  auto meter = RaplMeter::open(s.machine).value();
  const std::string file = powercap + "intel-rapl:0/energy_uj";
  s.kernel->files.erase(file);
  EXPECT_EQ(meter->read().error().code, Errc::not_found);
  s.kernel->files[file] = "3000000";
  EXPECT_NEAR(meter->read().value().joules.count(), 2.0, 1e-12);
}

TEST(Rapl, IsMissingOnAMachineWithoutIt) {
  device::Machine machine;
  machine.nvml = "none";
  machine.files = std::make_shared<FakeKernel>();
  EXPECT_EQ(RaplMeter::open(machine).error().code, Errc::not_found);
  const auto meters = device::discover_meters(machine);
  EXPECT_TRUE(meters.meters.empty());
  std::vector<std::string> lacking;
  for (const auto& lack : meters.lacking) {
    lacking.push_back(lack.name);
    EXPECT_FALSE(lack.why.hint.empty()) << lack.name;
  }
  EXPECT_EQ(lacking, (std::vector<std::string>{"rapl", "hwmon", "battery", "nvml"}));
}

device::Board board() {
  device::Board board;
  board.name = "test";
  board.title = "Test";
  board.cores = 4;
  const auto watts = [](double w) { return device::Figure{core::Watts(w), "s", false}; };
  board.levels = {{"low", core::Hertz(1e9), 0, watts(2), watts(2.5), watts(4)},
                  {"high", core::Hertz(2e9), 0, watts(3), watts(5), watts(11)}};
  board.radios = {
      {"wifi", core::JoulesPerByte(2e-6), core::JoulesPerByte(1e-6), core::Watts(0.5), "s"}};
  return board;
}

TEST(Modelled, AddsPowerTimesTimeByTheLinearModel) {
  ModelledMeter meter(board());
  // idle 3 W; one core of four at 50 %: 3 + 0.5 * 2 = 4 W; three cores: 3 + (2 + 2/3 * 6) = 9 W
  meter.account({1, 0, 1}, Seconds(2));
  meter.account({1, 1, 0.5}, Seconds(1));
  meter.account({1, 3, 1}, Seconds(3));
  EXPECT_NEAR(meter.read().value().joules.count(), 3 * 2 + 4 * 1 + 9 * 3, 1e-9);
  const auto reading = meter.read().value();
  EXPECT_EQ(reading.origin, Origin::modelled);
  EXPECT_EQ(reading.boundary, Boundary::edge);
  EXPECT_EQ(meter.name(), "model:test");
}

TEST(Modelled, StaysWithinIdleAndBusyWhateverItIsTold) {
  ModelledMeter meter(board());
  EXPECT_EQ(meter.power({0, 99, 7}).count(), 4);
  EXPECT_EQ(meter.power({0, -1, 1}).count(), 2);
  EXPECT_EQ(meter.power({0, 4, -1}).count(), 2);
  EXPECT_EQ(meter.account({0, 4, 1}, Seconds(-1)).count(), 0);
}

TEST(Modelled, CountsTheRadioByTheByte) {
  ModelledMeter meter(board(), Boundary::edge, "wifi");
  meter.account_transfer(core::Bytes(1e6), core::Bytes(2e6));
  EXPECT_NEAR(meter.read().value().joules.count(), 2 + 2, 1e-9);
  // With its base power shared out at 1 MB/s each byte costs 0.5 uJ more.
  ModelledMeter slow(board(), Boundary::edge, "wifi", core::BytesPerSecond(1e6));
  EXPECT_NEAR(slow.account_transfer(core::Bytes(1e6), core::Bytes(0)).count(), 2.5, 1e-9);
  ModelledMeter wired(board());
  EXPECT_EQ(wired.account_transfer(core::Bytes(1e6), core::Bytes(1e6)).count(), 0);
  EXPECT_THROW(ModelledMeter(board(), Boundary::edge, "5g"), std::invalid_argument);
}

TEST(Modelled, CountsTheWholeMachineAtItsBoundary) {
  auto server = board();
  server.machine =
      device::MachinePower{{core::Watts(50), "s", false}, {core::Watts(130), "s", false}};
  ModelledMeter meter(server, Boundary::edge_cloud_machine);
  EXPECT_NEAR(meter.power({1, 0, 1}).count(), 50, 1e-9);
  EXPECT_NEAR(meter.power({1, 4, 1}).count(), 130, 1e-9);
  EXPECT_NEAR(meter.power({1, 4, 0.5}).count(), 90, 1e-9);
  EXPECT_NEAR(ModelledMeter(server, Boundary::edge_cloud_device).power({1, 4, 1}).count(), 11,
              1e-9);
  EXPECT_NEAR(server.added_power(1, 4).count(), 8, 1e-9);
}

}  // namespace
}  // namespace cleave::device_tests
