#include "tests/device/fake_kernel.hpp"

#include <cleave/device/cpufreq.hpp>
#include <cleave/device/discover.hpp>
#include <cleave/device/journal.hpp>

#include <gtest/gtest.h>

#include <fstream>

namespace cleave::device_tests {
namespace {

using device::CpufreqGovernor;
using device::CpufreqOptions;
using device::Machine;

const std::string policy0 = "/sys/devices/system/cpu/cpufreq/policy0/";

// The files and their contents as Documentation/admin-guide/pm/cpufreq.rst describes them; values
// of a Raspberry Pi 4 (bcm2711, raspberrypi-cpufreq). A reconstruction, not a copy of a machine.
void raspberry_pi(FakeKernel& kernel) {
  kernel.put(policy0 + "scaling_available_frequencies", "600000 1000000 1200000 1500000");
  kernel.put(policy0 + "scaling_available_governors",
             "conservative ondemand userspace powersave performance schedutil");
  kernel.put(policy0 + "scaling_governor", "ondemand");
  kernel.put(policy0 + "scaling_min_freq", "600000");
  kernel.put(policy0 + "scaling_max_freq", "1500000");
  kernel.put(policy0 + "scaling_setspeed", "<unsupported>");
  kernel.put(policy0 + "cpuinfo_min_freq", "600000");
  kernel.put(policy0 + "cpuinfo_max_freq", "1500000");
}

// A laptop under intel_pstate in active mode: no list, no userspace governor
// (Documentation/admin-guide/pm/intel_pstate.rst). A reconstruction.
void laptop(FakeKernel& kernel) {
  kernel.put(policy0 + "scaling_available_governors", "performance powersave");
  kernel.put(policy0 + "scaling_governor", "powersave");
  kernel.put(policy0 + "scaling_min_freq", "400000");
  kernel.put(policy0 + "scaling_max_freq", "4400000");
  kernel.put(policy0 + "scaling_setspeed", "<unsupported>");
  kernel.put(policy0 + "cpuinfo_min_freq", "400000");
  kernel.put(policy0 + "cpuinfo_max_freq", "4400000");
}

// min <= max at every moment, as kernels before the frequency constraints demand; the speed can be
// set under userspace only, and is kept within the limits.
void strict(FakeKernel& kernel) {
  kernel.rule = [&kernel](const std::string& path, const std::string& value) -> Result<void> {
    const auto number = [&](const std::string& name) {
      return std::stol(kernel.files[policy0 + name]);
    };
    if ((path == policy0 + "scaling_min_freq" && std::stol(value) > number("scaling_max_freq")) ||
        (path == policy0 + "scaling_max_freq" && std::stol(value) < number("scaling_min_freq")))
      return core::fail(Errc::invalid_argument, "minimum above maximum", path);
    if (path == policy0 + "scaling_governor")
      kernel.files[policy0 + "scaling_setspeed"] =
          value == "userspace" ? kernel.files[policy0 + "scaling_min_freq"] : "<unsupported>";
    if (path == policy0 + "scaling_setspeed" &&
        (kernel.files[policy0 + "scaling_governor"] != "userspace" ||
         std::stol(value) > number("scaling_max_freq") ||
         std::stol(value) < number("scaling_min_freq")))
      return core::fail(Errc::invalid_argument, "outside the limits", path);
    return {};
  };
}

struct Fixture {
  std::shared_ptr<FakeKernel> kernel = std::make_shared<FakeKernel>();
  TemporaryFolder state;
  Machine machine() {
    Machine machine;
    machine.sys = "/sys";
    machine.files = kernel;
    return machine;
  }
  CpufreqOptions options() {
    CpufreqOptions options;
    options.state_dir = state.path();
    return options;
  }
  auto open() { return CpufreqGovernor::open("policy0", options(), machine()); }
};

TEST(Cpufreq, SetsTheSpeedOfARaspberryPiAndPutsItsGovernorBack) {
  Fixture f;
  raspberry_pi(*f.kernel);
  strict(*f.kernel);
  const std::string before = f.kernel->snapshot();
  auto governor = f.open().value();
  EXPECT_EQ(governor->method(), "userspace");
  EXPECT_EQ(governor->knob().name, "cpu_frequency");
  EXPECT_EQ(governor->knob().unit, "Hz");
  ASSERT_EQ(governor->knob().levels.size(), 4u);
  EXPECT_EQ(governor->knob().levels[2], (core::Level{"1200 MHz", 1.2e9}));
  EXPECT_EQ(governor->current().value(), std::nullopt);
  for (core::LevelIndex level : {2, 0, 3, 1}) {
    ASSERT_TRUE(governor->apply(level)) << level;
    EXPECT_EQ(governor->current().value(), level);
    EXPECT_EQ(f.kernel->files[policy0 + "scaling_setspeed"],
              std::to_string(static_cast<long>(governor->knob().levels[level].value / 1000)));
  }
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(f.kernel->snapshot(), before);
}

TEST(Cpufreq, WidensLimitsThatStandInTheWayAndPutsThemBack) {
  Fixture f;
  raspberry_pi(*f.kernel);
  strict(*f.kernel);
  f.kernel->files[policy0 + "scaling_min_freq"] = "1000000";
  f.kernel->files[policy0 + "scaling_max_freq"] = "1200000";
  const std::string before = f.kernel->snapshot();
  auto governor = f.open().value();
  for (core::LevelIndex level : {0, 3}) {
    const auto applied = governor->apply(level);
    ASSERT_TRUE(applied) << applied.error().message();
  }
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(f.kernel->snapshot(), before);
}

TEST(Cpufreq, PutsASpeedBackThatWasSetBefore) {
  Fixture f;
  raspberry_pi(*f.kernel);
  f.kernel->files[policy0 + "scaling_governor"] = "userspace";
  f.kernel->files[policy0 + "scaling_setspeed"] = "1000000";
  auto governor = f.open().value();
  EXPECT_EQ(governor->current().value(), 1);
  ASSERT_TRUE(governor->apply(3));
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(f.kernel->files[policy0 + "scaling_setspeed"], "1000000");
}

TEST(Cpufreq, ClampsALaptopInTheOrderItsKernelAccepts) {
  Fixture f;
  laptop(*f.kernel);
  strict(*f.kernel);
  const std::string before = f.kernel->snapshot();
  auto governor = f.open().value();
  EXPECT_EQ(governor->method(), "clamp");
  ASSERT_EQ(governor->knob().levels.size(), 5u);
  EXPECT_EQ(governor->knob().levels[1].value, 1.4e9);
  for (core::LevelIndex level : {4, 0, 2, 1, 3, 0, 4}) {
    const auto applied = governor->apply(level);
    ASSERT_TRUE(applied) << applied.error().message();
    EXPECT_EQ(governor->current().value(), level);
  }
  ASSERT_TRUE(governor->apply(0));
  governor.reset();
  EXPECT_EQ(f.kernel->snapshot(), before);
}

TEST(Cpufreq, PutsNarrowLimitsBackFromEitherSide) {
  for (core::LevelIndex level : {0, 4}) {
    Fixture f;
    laptop(*f.kernel);
    strict(*f.kernel);
    f.kernel->files[policy0 + "scaling_min_freq"] = "2000000";
    f.kernel->files[policy0 + "scaling_max_freq"] = "3000000";
    const std::string before = f.kernel->snapshot();
    auto governor = f.open().value();
    ASSERT_TRUE(governor->apply(level));
    const auto restored = governor->restore();
    ASSERT_TRUE(restored) << restored.error().message();
    EXPECT_EQ(f.kernel->snapshot(), before);
  }
}

TEST(Cpufreq, ReportsAWriteThatTheKernelIgnored) {
  Fixture f;
  raspberry_pi(*f.kernel);
  f.kernel->ignored.insert(policy0 + "scaling_setspeed");
  auto governor = f.open().value();
  // "<unsupported>" is read back: not even a number.
  EXPECT_FALSE(governor->apply(1));
  f.kernel->files[policy0 + "scaling_setspeed"] = "600000";
  EXPECT_EQ(governor->apply(1).error().code, Errc::refused);
}

TEST(Cpufreq, ReportsALimitThatHoldsTheClock) {
  Fixture f;
  laptop(*f.kernel);
  f.kernel->rule = [&f](const std::string& path, const std::string& value) -> Result<void> {
    if (path == policy0 + "scaling_max_freq" && std::stol(value) > 2'000'000)
      f.kernel->ignored.insert(path);
    return {};
  };
  auto governor = f.open().value();
  ASSERT_TRUE(governor->apply(1));
  f.kernel->ignored.insert(policy0 + "scaling_max_freq");
  const auto applied = governor->apply(4);
  ASSERT_FALSE(applied);
  EXPECT_EQ(applied.error().code, Errc::refused);
  EXPECT_FALSE(applied.error().hint.empty());
}

TEST(Cpufreq, SaysWhoMayNotSetIt) {
  Fixture f;
  raspberry_pi(*f.kernel);
  f.kernel->denied.insert(policy0 + "scaling_governor");
  const auto governor = f.open();
  ASSERT_FALSE(governor);
  EXPECT_EQ(governor.error().code, Errc::permission_denied);
  EXPECT_FALSE(governor.error().hint.empty());
}

TEST(Cpufreq, ReportsAPolicyThatVanishesWhileItIsUsed) {
  Fixture f;
  raspberry_pi(*f.kernel);
  auto governor = f.open().value();
  ASSERT_TRUE(governor->apply(0));
  std::erase_if(f.kernel->files, [](const auto& file) { return file.first.starts_with(policy0); });
  EXPECT_EQ(governor->apply(1).error().code, Errc::not_found);
  EXPECT_EQ(governor->current().error().code, Errc::not_found);
  EXPECT_TRUE(governor->restore()) << "what is gone needs no undoing";
}

TEST(Cpufreq, RefusesGarbage) {
  for (const std::string garbage : {"fast", "600000 -5", "600000 1e99x", "0"}) {
    Fixture f;
    raspberry_pi(*f.kernel);
    f.kernel->files[policy0 + "scaling_available_frequencies"] = garbage;
    EXPECT_EQ(f.open().error().code, Errc::corrupt) << garbage;
  }
  Fixture f;
  laptop(*f.kernel);
  f.kernel->files[policy0 + "cpuinfo_max_freq"] = "";
  EXPECT_FALSE(f.open());
  f.kernel->files[policy0 + "cpuinfo_max_freq"] = "400000";
  EXPECT_EQ(f.open().error().code, Errc::unsupported);
}

TEST(Cpufreq, IsHeldByOneProgramAtATime) {
  Fixture f;
  raspberry_pi(*f.kernel);
  auto first = f.open().value();
  auto second = f.open().value();
  ASSERT_TRUE(first->apply(0));
  const auto taken = second->apply(1);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::in_use);
  EXPECT_NE(taken.error().message().find(std::to_string(::getpid())), std::string::npos);
  first.reset();
  EXPECT_TRUE(second->apply(1));
}

TEST(Cpufreq, LeavesNothingBehindWhereverItFails) {
  for (const auto lay_out : {&raspberry_pi, &laptop}) {
    bool succeeded = false;
    for (int n = 0; !succeeded; ++n) {
      ASSERT_LT(n, 100);
      Fixture f;
      lay_out(*f.kernel);
      strict(*f.kernel);
      const std::string before = f.kernel->snapshot();
      f.kernel->fail_at = n;
      {
        auto governor = f.open().value();
        succeeded = governor->apply(3) && governor->apply(1) && governor->restore();
      }
      EXPECT_TRUE(device::recover(f.state.path(), f.kernel).errors.empty());
      EXPECT_EQ(f.kernel->snapshot(), before) << "after operation " << n << " failed";
    }
  }
}

// The same on files, through the real file system.
TEST(Cpufreq, WorksOnATreeOfFiles) {
  TemporaryFolder tree, state;
  const fs::path policy = tree.path() / "devices/system/cpu/cpufreq/policy0";
  fs::create_directories(policy);
  const auto put = [&](const std::string& name, const std::string& text) {
    std::ofstream(policy / name) << text << "\n";
  };
  put("scaling_available_frequencies", "600000 1500000 ");
  put("scaling_available_governors", "ondemand userspace");
  put("scaling_governor", "ondemand");
  put("scaling_min_freq", "600000");
  put("scaling_max_freq", "1500000");
  put("scaling_setspeed", "<unsupported>");
  Machine machine;
  machine.sys = tree.path();
  CpufreqOptions options;
  options.state_dir = state.path();
  auto governor = CpufreqGovernor::open("policy0", options, machine).value();
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(machine.files->read(policy / "scaling_setspeed").value(), "600000");
  EXPECT_EQ(machine.files->read(policy / "scaling_governor").value(), "userspace");
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(machine.files->read(policy / "scaling_governor").value(), "ondemand");

  // A file that swallows what is written, and a folder where a file should be.
  fs::remove(policy / "scaling_setspeed");
  fs::create_symlink("/dev/null", policy / "scaling_setspeed");
  EXPECT_FALSE(governor->apply(1));
  fs::remove(policy / "scaling_setspeed");
  fs::create_directory(policy / "scaling_setspeed");
  EXPECT_FALSE(governor->apply(1));
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(machine.files->read(policy / "scaling_governor").value(), "ondemand");
}

TEST(Discovery, GivesTheReasonForWhatIsMissing) {
  Fixture f;
  device::DiscoverOptions options;
  options.cpufreq = f.options();
  options.cpu_share.state_dir = f.state.path();
  options.cpu_share.levels = {{"half", 0.5}};
  auto machine = f.machine();
  machine.cgroup = "/cg";
  machine.nvml = "none";
  const auto nothing = device::discover_governors(options, machine);
  EXPECT_TRUE(nothing.governors.empty());
  std::vector<std::string> lacking;
  for (const auto& lack : nothing.lacking) {
    lacking.push_back(lack.name);
    EXPECT_FALSE(lack.why.hint.empty());
  }
  EXPECT_EQ(lacking, (std::vector<std::string>{"cpu_frequency", "devfreq", "cpus", "gpu_clock",
                                               "cpu_share"}));

  raspberry_pi(*f.kernel);
  const auto pi = device::discover_governors(options, machine);
  ASSERT_EQ(pi.governors.size(), 1u);
  EXPECT_EQ(pi.governors[0]->knob().name, "cpu_frequency");
}

}  // namespace
}  // namespace cleave::device_tests
