#include "tests/device/machines.hpp"

#include <cleave/device/open_governor.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

namespace cleave::device_tests {
namespace {

core::Result<std::unique_ptr<device::Governor>> open(const FakeMachine& m,
                                                     const std::string& description) {
  return device::open_governor(description, {core::edge_host, m.state.path()}, m.machine());
}

std::vector<std::string> labels(const device::Governor& governor) {
  std::vector<std::string> labels;
  for (const auto& level : governor.knob().levels) labels.push_back(level.label);
  return labels;
}

TEST(OpenGovernor, KnowsEveryKnobByItsDescription) {
  const FakeMachine orin(jetson), hybrid(laptop);
  EXPECT_EQ(open(orin, "cpufreq").value()->knob().name, "cpu_frequency");
  EXPECT_EQ(open(orin, "cpufreq:policy4").value()->knob().name, "cpu_frequency.policy4");
  EXPECT_EQ(open(orin, "devfreq").value()->knob().name, "devfreq.17000000.gpu");
  EXPECT_EQ(open(orin, "devfreq:17000000.gpu").value()->knob().levels.size(), 5u);
  EXPECT_EQ(labels(*open(hybrid, "cpus").value()),
            (std::vector<std::string>{"all", "performance", "efficient"}));
  EXPECT_EQ(labels(*open(hybrid, "cpus:0-1/2,3/0-3").value()),
            (std::vector<std::string>{"0-1", "2,3", "0-3"}));
}

TEST(OpenGovernor, KeepsTheLevelsThatAreNamed) {
  const FakeMachine m(jetson);
  const std::string before = m.snapshot();
  auto governor = open(m, "devfreq:17000000.gpu=612,306 MHz").value();
  EXPECT_EQ(labels(*governor), (std::vector<std::string>{"306 MHz", "612 MHz"}));
  EXPECT_EQ(governor->knob().unit, "Hz");
  ASSERT_TRUE(governor->apply(1));
  EXPECT_EQ(m.kernel->files["/sys/class/devfreq/17000000.gpu/max_freq"], "612000000");
  EXPECT_EQ(governor->current().value(), core::LevelIndex{1});
  EXPECT_EQ(governor->apply(2).error().code, Errc::invalid_argument);
  ASSERT_TRUE(governor->restore());
  EXPECT_EQ(governor->current().value(), std::nullopt) << "a level that was not kept";
  EXPECT_EQ(m.snapshot(), before);
}

TEST(OpenGovernor, RunsCommands) {
  FakeMachine m;
  const fs::path mode = m.state.path() / "mode";
  std::ofstream(mode) << "1\n";
  const auto now = [&] {
    std::string text;
    std::ifstream(mode) >> text;
    return text;
  };
  const std::string file = mode.string();
  auto governor =
      open(m, "command:nvpmodel:0,1:echo {level} > " + file + " => cat " + file).value();
  EXPECT_EQ(governor->knob().name, "nvpmodel");
  EXPECT_TRUE(governor->knob().categorical);
  ASSERT_TRUE(governor->apply(0));
  EXPECT_EQ(now(), "0");
  governor.reset();
  EXPECT_EQ(now(), "1") << "what GET printed";
  governor = open(m, "command:nvpmodel:0@,1:echo {level} > " + file).value();
  ASSERT_TRUE(governor->apply(1));
  EXPECT_EQ(now(), "1");
  governor.reset();
  EXPECT_EQ(now(), "0") << "what was marked";
}

TEST(OpenGovernor, SaysWhatIsWrong) {
  const FakeMachine m(jetson);
  for (const std::string text :
       {"", "npu", "gpu_clock:x", "cpus:0-x", "devfreq:17000000.gpu=1", "devfreq=306,306",
        "devfreq=", "command:a", "command:a:1", "command:a:1,2:set", "command:a:1@,2@:set {level}",
        "command::1@:set {level}"})
    EXPECT_EQ(open(m, text).error().code, Errc::invalid_argument) << text;
  const auto level = open(m, "devfreq=999").error();
  EXPECT_NE(level.hint.find("306 MHz"), std::string::npos);
  const auto policy = open(m, "cpufreq:policy1").error();
  EXPECT_EQ(policy.code, Errc::not_found);
  EXPECT_NE(policy.hint.find("policy4"), std::string::npos);
  EXPECT_EQ(open(m, "devfreq:gpu").error().code, Errc::not_found);
}

TEST(OpenGovernor, SaysWhatAMachineWithNothingLacks) {
  const FakeMachine m;
  for (const std::string text : {"cpufreq", "cpufreq:policy0", "devfreq", "devfreq:gpu", "cpus"}) {
    const auto error = open(m, text).error();
    EXPECT_EQ(error.code, core::Errc::unsupported) << text;
    EXPECT_FALSE(error.where.empty());
  }
  EXPECT_EQ(open(m, "gpu_clock").error().code, Errc::not_found) << "no driver's library";
}

}  // namespace
}  // namespace cleave::device_tests
