#include "tests/device/fake_kernel.hpp"
#include "tests/device/killed.hpp"

#include <cleave/device/journal.hpp>
#include <cleave/device/nvml.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace cleave::device_tests {
namespace {

using core::Seconds;
using device::Nvml;

// The driver's library and its GPU, which remembers in a file what is set.
struct FakeGpu {
  TemporaryFolder folder;
  fs::path state = folder.path() / "state", file = folder.path() / "gpu";
  FakeGpu() {
    ::setenv("CLEAVE_FAKE_NVML", file.c_str(), 1);
    put({{"gpus", 1},
         {"energy", 5000},
         {"power", 80'000},
         {"limit", 250'000},
         {"least", 100'000},
         {"most", 300'000},
         {"idle", 345}});
  }
  ~FakeGpu() { ::unsetenv("CLEAVE_FAKE_NVML"); }
  FakeGpu(const FakeGpu&) = delete;
  FakeGpu& operator=(const FakeGpu&) = delete;
  [[nodiscard]] std::map<std::string, long> get() const {
    std::map<std::string, long> all;
    std::ifstream in(file);
    std::string name;
    long value = 0;
    while (in >> name >> value) all[name] = value;
    return all;
  }
  void put(const std::map<std::string, long>& values) const {
    auto all = get();
    for (const auto& [name, value] : values) all[name] = value;
    std::ofstream out(file);
    for (const auto& [name, value] : all) out << name << ' ' << value << '\n';
  }
  static std::shared_ptr<Nvml> load() { return Nvml::load(CLEAVE_FAKE_NVML_LIBRARY).value(); }
  static device::Gpu gpu() { return load()->gpus().value().at(0); }
  [[nodiscard]] device::GpuGovernorOptions options(int* waits = nullptr) const {
    device::GpuGovernorOptions options;
    options.state_dir = state;
    options.looks = 3;
    options.wait = [waits] {
      if (waits != nullptr)
        ++*waits;
    };
    return options;
  }
  [[nodiscard]] auto clock_governor() const {
    return device::open_gpu_clock_governor(load(), gpu(), options()).value();
  }
  [[nodiscard]] auto power_governor() const {
    return device::open_gpu_power_governor(load(), gpu(), options()).value();
  }
};

TEST(Nvml, IsMissingWithoutTheDriver) {
  const auto none = Nvml::load("libcleave-no-such-thing.so.1");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::not_found);
  EXPECT_FALSE(none.error().hint.empty());
  // A library that is something else.
  EXPECT_EQ(Nvml::load("libm.so.6").error().code, core::Errc::unsupported);
  FakeGpu fake;
  fake.put({{"no_driver", 1}});
  EXPECT_EQ(Nvml::load(CLEAVE_FAKE_NVML_LIBRARY).error().code, core::Errc::unavailable);
}

TEST(Nvml, MeterFollowsTheCounterOfEnergy) {
  FakeGpu fake;
  const auto clock = std::make_shared<core::ManualClock>();
  device::SamplingOptions sampling;
  sampling.clock = clock;
  auto meter = device::open_nvml_meter(FakeGpu::load(), FakeGpu::gpu(), sampling,
                                       core::Boundary::edge_cloud_device)
                   .value();
  EXPECT_EQ(meter->name(), "nvml:0");
  fake.put({{"energy", 205'000}});
  clock->advance(Seconds(2));
  const auto reading = meter->read().value();
  EXPECT_NEAR(reading.joules.count(), 200, 1e-9);
  EXPECT_NEAR(reading.resolution.count(), 10, 1e-9) << "100 ms at 100 W";
  EXPECT_EQ(reading.boundary, core::Boundary::edge_cloud_device);
  EXPECT_EQ(reading.source, "NVML of NVIDIA Fake GPU-fake, energy");
  fake.put({{"lost", 1}});
  EXPECT_EQ(meter->read().error().code, core::Errc::unavailable);
}

TEST(Nvml, MeterSamplesPowerWhereThereIsNoCounter) {
  FakeGpu fake;
  fake.put({{"no_energy", 1}});
  const auto clock = std::make_shared<core::ManualClock>();
  device::SamplingOptions sampling;
  sampling.clock = clock;
  sampling.thread = false;
  auto meter = device::open_nvml_meter(FakeGpu::load(), FakeGpu::gpu(), sampling).value();
  ASSERT_TRUE(meter->read());
  clock->advance(Seconds(3));
  const auto reading = meter->read().value();
  EXPECT_NEAR(reading.joules.count(), 240, 1e-9);
  EXPECT_EQ(reading.source, "NVML of NVIDIA Fake GPU-fake, power");
}

TEST(GpuClock, LocksVerifiesAndReleases) {
  FakeGpu fake;
  auto governor = fake.clock_governor();
  const auto& knob = governor->knob();
  EXPECT_EQ(knob.name, "gpu_clock");
  EXPECT_EQ(knob.unit, "Hz");
  ASSERT_EQ(knob.levels.size(), 6u);
  EXPECT_EQ(knob.levels.front().label, "300 MHz");
  EXPECT_EQ(knob.levels.back().value, 1.5e9);
  EXPECT_EQ(governor->current().value(), std::nullopt);
  ASSERT_TRUE(governor->apply(2));
  EXPECT_EQ(fake.get()["lock"] * 1e6, knob.levels[2].value);
  EXPECT_EQ(governor->current().value(), core::LevelIndex{2});
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(fake.get()["lock"], 0);
  EXPECT_EQ(governor->current().value(), std::nullopt);
}

TEST(GpuClock, FailsIfTheGpuRunsAtAnother) {
  FakeGpu fake;
  fake.put({{"ignored", 1}});
  int waits = 0;
  auto governor =
      device::open_gpu_clock_governor(FakeGpu::load(), FakeGpu::gpu(), fake.options(&waits))
          .value();
  EXPECT_EQ(governor->apply(5).error().code, core::Errc::refused);
  EXPECT_EQ(waits, 2) << "a clock is given time to change";
  fake.put({{"ignored", 0}, {"denied", 1}});
  const auto denied = governor->apply(5);
  EXPECT_EQ(denied.error().code, Errc::permission_denied);
  EXPECT_FALSE(denied.error().hint.empty());
  fake.put({{"denied", 0}});
  EXPECT_EQ(governor->apply(6).error().code, Errc::invalid_argument);
}

TEST(GpuPower, SetsWholeWattsWithinTheBounds) {
  FakeGpu fake;
  {
    auto governor = fake.power_governor();
    std::vector<std::string> labels;
    for (const auto& level : governor->knob().levels) labels.push_back(level.label);
    EXPECT_EQ(labels,
              (std::vector<std::string>{"100 W", "140 W", "180 W", "220 W", "260 W", "300 W"}));
    ASSERT_TRUE(governor->apply(1));
    EXPECT_EQ(fake.get()["limit"], 140'000);
    EXPECT_EQ(governor->current().value(), core::LevelIndex{1});
    // Another process may not have it now.
    EXPECT_EQ(fake.power_governor()->apply(0).error().code, Errc::in_use);
    fake.put({{"ignored", 1}});
    EXPECT_EQ(governor->apply(0).error().code, core::Errc::refused);
    fake.put({{"ignored", 0}});
  }
  EXPECT_EQ(fake.get()["limit"], 250'000) << "put back at the end";
}

TEST(GpuPower, IsNotOfferedWhereTheLimitIsFixed) {
  FakeGpu fake;
  fake.put({{"least", 300'000}});
  EXPECT_EQ(
      device::open_gpu_power_governor(FakeGpu::load(), FakeGpu::gpu(), fake.options()).error().code,
      core::Errc::unsupported);
}

TEST(GpuSettings, ArePutBackByTheNextStartAfterAKill) {
  FakeGpu fake;
  ASSERT_TRUE(kill_after([&] {
    static auto clock = fake.clock_governor();
    static auto power = fake.power_governor();
    return clock->apply(3) && power->apply(0);
  }));
  EXPECT_NE(fake.get()["lock"], 0);
  EXPECT_EQ(fake.get()["limit"], 100'000);
  const auto recovery = device::recover(fake.state);
  EXPECT_EQ(recovery.undone.size(), 2u);
  EXPECT_TRUE(recovery.errors.empty());
  EXPECT_EQ(fake.get()["lock"], 0);
  EXPECT_EQ(fake.get()["limit"], 250'000);
}

TEST(GpuSettings, OfAGpuThatIsGoneAreDoneWithAndOthersAreKeptForLater) {
  FakeGpu fake;
  ASSERT_TRUE(kill_after([&] {
    static auto power = fake.power_governor();
    return power->apply(0).has_value();
  }));
  fake.put({{"denied", 1}});
  EXPECT_EQ(device::recover(fake.state).errors.size(), 1u);
  EXPECT_EQ(device::recover(fake.state).errors.size(), 1u) << "kept until it works";
  fake.put({{"denied", 0}, {"gpus", 0}});
  EXPECT_TRUE(device::recover(fake.state).errors.empty());
}

}  // namespace
}  // namespace cleave::device_tests
