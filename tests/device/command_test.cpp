#include "tests/device/fake_kernel.hpp"
#include "tests/device/killed.hpp"

#include <cleave/device/command.hpp>
#include <cleave/device/journal.hpp>

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>

namespace cleave::device_tests {
namespace {

using core::Seconds;
using device::CommandMeterOptions;
using Prints = CommandMeterOptions::Prints;

struct Clocked {
  std::shared_ptr<core::ManualClock> clock = std::make_shared<core::ManualClock>();
  core::Result<std::unique_ptr<device::Meter>> open(const std::string& command,
                                                    Prints prints = Prints::power) {
    CommandMeterOptions options;
    options.command = command;
    options.prints = prints;
    device::SamplingOptions sampling;
    sampling.thread = false;
    sampling.clock = clock;
    return device::open_command_meter(options, sampling);
  }
};

std::string contents(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(CommandMeter, IntegratesWattsWithOrWithoutUnits) {
  for (const auto& [printed, watts] : std::map<std::string, double>{
           {"12.5", 12.5}, {"12.5 W", 12.5}, {"12500mW", 12.5}, {"-3e6 uW", -3}, {"0", 0}}) {
    Clocked c;
    auto meter = c.open("echo '" + printed + "'").value();
    ASSERT_TRUE(meter->read());
    c.clock->advance(Seconds(2));
    EXPECT_NEAR(meter->read().value().joules.count(), 2 * watts, 1e-9) << printed;
  }
}

TEST(CommandMeter, FollowsACounterOfJoules) {
  TemporaryFolder folder;
  const fs::path file = folder.path() / "joules";
  std::ofstream(file) << "100 J";
  Clocked c;
  auto meter = c.open("cat " + file.string(), Prints::energy).value();
  std::ofstream(file) << "0.1 kWh";
  EXPECT_NEAR(meter->read().value().joules.count(), 360'000 - 100, 1e-6);
}

TEST(CommandMeter, RefusesWhatIsNoFigure) {
  Clocked c;
  for (const std::string garbage : {"", "much", "1 2", "12 horses", "1 W 2", "nan", "--5"})
    EXPECT_EQ(c.open("echo '" + garbage + "'").error().code, Errc::corrupt) << garbage;
  EXPECT_EQ(c.open("echo 5 J").error().code, Errc::invalid_argument);
  EXPECT_EQ(c.open("echo 5 W", Prints::energy).error().code, Errc::invalid_argument);
  EXPECT_EQ(c.open(" ").error().code, Errc::invalid_argument);
}

TEST(CommandMeter, ChecksTheExitStatusAndTellsWhatWasSaid) {
  Clocked c;
  const auto failed = c.open("echo 5; echo no meter on the bus >&2; exit 3");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, core::Errc::refused);
  EXPECT_NE(failed.error().what.find("exit status 3: no meter on the bus"), std::string::npos);
  EXPECT_NE(c.open("kill -9 $$").error().what.find("signal 9"), std::string::npos);
  EXPECT_FALSE(c.open("/no/such/program").error().hint.empty());
  EXPECT_EQ(c.open("while :; do echo 0123456789; done").error().code, core::Errc::exhausted);
}

// Gone, or dead and not yet reaped by init.
bool ended(const std::string& pid) {
  const std::string stat = contents("/proc/" + pid + "/stat");
  return stat.empty() || stat.find(") Z") != std::string::npos;
}

TEST(CommandMeter, KillsTheWholeGroupWhenItsTimeIsUp) {
  TemporaryFolder folder;
  const fs::path file = folder.path() / "pid";
  CommandMeterOptions options;
  options.command = "sleep 1000 & echo $! > " + file.string() + "; wait";
  options.timeout = Seconds(0.3);
  EXPECT_EQ(device::open_command_meter(options).error().code, core::Errc::timed_out);
  std::string pid = contents(file);
  ASSERT_FALSE(pid.empty());
  pid.pop_back();
  // SIGKILL was sent before open returned; the kernel ends the process in its own time.
  for (int i = 0; i < 1'000'000 && !ended(pid); ++i) ::sched_yield();
  EXPECT_TRUE(ended(pid));
}

TEST(CommandMeter, LeavesNobodyBehindWhoOutlivesTheCommand) {
  TemporaryFolder folder;
  const fs::path file = folder.path() / "pid";
  Clocked c;
  ASSERT_TRUE(c.open("sleep 1000 & echo $! > " + file.string() + "; echo 5"));
  std::string pid = contents(file);
  pid.pop_back();
  for (int i = 0; i < 1'000'000 && !ended(pid); ++i) ::sched_yield();
  EXPECT_TRUE(ended(pid));
}

// An accelerator whose mode is in a file.
struct Accelerator {
  TemporaryFolder folder;
  fs::path mode = folder.path() / "mode", state = folder.path() / "state";
  Accelerator() { std::ofstream(mode) << "MAXN"; }
  [[nodiscard]] device::CommandGovernorOptions options() const {
    device::CommandGovernorOptions options;
    options.name = "npu_mode";
    options.levels = {"5W", "15W", "MAXN"};
    options.set = "echo {level} > " + mode.string();
    options.get = "cat " + mode.string();
    options.state_dir = state;
    return options;
  }
  [[nodiscard]] std::string is() const {
    std::string text = contents(mode);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
  }
};

TEST(CommandGovernor, SetsVerifiesAndPutsBack) {
  Accelerator npu;
  auto governor = device::CommandGovernor::open(npu.options()).value();
  EXPECT_EQ(governor->knob().name, "npu_mode");
  EXPECT_TRUE(governor->knob().categorical);
  EXPECT_EQ(governor->current().value(), core::LevelIndex{2});
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(npu.is(), "5W");
  EXPECT_EQ(governor->current().value(), core::LevelIndex{0});
  ASSERT_TRUE(governor->apply(1));
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(npu.is(), "MAXN");
  EXPECT_EQ(npu.folder.size(), 2u);
  EXPECT_TRUE(fs::is_empty(npu.state));
  EXPECT_EQ(governor->apply(3).error().code, Errc::invalid_argument);
}

TEST(CommandGovernor, FailsIfTheCommandDoesOrTheLevelIsAnother) {
  Accelerator npu;
  auto options = npu.options();
  options.set = "test {level} != 5W && true {level}";
  auto governor = device::CommandGovernor::open(options).value();
  EXPECT_NE(governor->apply(0).error().what.find("exit status 1"), std::string::npos);
  const auto ignored = governor->apply(1);
  EXPECT_EQ(ignored.error().code, core::Errc::refused);
  EXPECT_NE(ignored.error().what.find("MAXN"), std::string::npos);
}

TEST(CommandGovernor, KeepsAnotherProcessOut) {
  Accelerator npu;
  auto governor = device::CommandGovernor::open(npu.options()).value();
  auto other = device::CommandGovernor::open(npu.options()).value();
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(other->apply(1).error().code, Errc::in_use);
  EXPECT_EQ(npu.is(), "5W");
}

TEST(CommandGovernor, IsPutBackByTheNextStartAfterAKill) {
  Accelerator npu;
  ASSERT_TRUE(kill_after([&] {
    static auto governor = device::CommandGovernor::open(npu.options()).value();
    return governor->apply(0).has_value();
  }));
  EXPECT_EQ(npu.is(), "5W");
  EXPECT_EQ(device::recover(npu.state).undone, std::vector<std::string>{"command-npu_mode"});
  EXPECT_EQ(npu.is(), "MAXN");
}

TEST(CommandGovernor, NeedsNoReadingBackIfItIsToldWhatToPutBack) {
  Accelerator npu;
  auto options = npu.options();
  options.get.clear();
  EXPECT_EQ(device::CommandGovernor::open(options).error().code, Errc::invalid_argument);
  options.initial = "15W";
  auto governor = device::CommandGovernor::open(options).value();
  EXPECT_EQ(governor->current().value(), std::nullopt);
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(governor->current().value(), core::LevelIndex{0});
  governor.reset();
  EXPECT_EQ(npu.is(), "15W");
}

TEST(CommandGovernor, PutsNothingIntoACommandThatAShellWouldRun) {
  Accelerator npu;
  for (const std::string level : {"", "5 W", "$(reboot)", "a;b", "`x`", "a'b", "a\nb"}) {
    auto options = npu.options();
    options.levels = {"MAXN", level};
    EXPECT_EQ(device::CommandGovernor::open(options).error().code, Errc::invalid_argument) << level;
    options = npu.options();
    std::ofstream(npu.mode) << level;
    EXPECT_EQ(device::CommandGovernor::open(options).error().code, core::Errc::refused) << level;
    std::ofstream(npu.mode) << "MAXN";
  }
  auto options = npu.options();
  options.set = "echo 5W";
  EXPECT_EQ(device::CommandGovernor::open(options).error().code, Errc::invalid_argument);
  options = npu.options();
  options.name = "../npu";
  EXPECT_EQ(device::CommandGovernor::open(options).error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace cleave::device_tests
