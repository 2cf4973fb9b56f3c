#include "tests/device/machines.hpp"

#include <cleave/device/host.hpp>

#include <gtest/gtest.h>

#include <array>

namespace cleave::device_tests {
namespace {

using device::HostOptions;

core::Result<std::unique_ptr<device::Host>> open(const FakeMachine& m, const HostOptions& options) {
  return device::open_host(
      options, [](int) { return core::Result<void>(); }, m.machine());
}

std::vector<std::string> knobs(const device::Host& host) {
  std::vector<std::string> names;
  for (const auto& knob : host.knobs->knobs()) names.push_back(knob.name);
  return names;
}

TEST(Host, HasItsFrequencyThenTheKnobsAskedForThenThreads) {
  const FakeMachine m(jetson);
  HostOptions options;
  EXPECT_EQ(knobs(*open(m, options).value()),
            (std::vector<std::string>{"cpu_frequency", "threads"}));
  options.knobs = {"devfreq:17000000.gpu=306,612", "cpufreq:policy0=730,1510"};
  const auto host = open(m, options).value();
  EXPECT_EQ(knobs(*host),
            (std::vector<std::string>{"cpu_frequency", "devfreq.17000000.gpu", "threads"}));
  EXPECT_EQ(host->knobs->knobs()[0].levels.size(), 2u) << "the one that was described";
  options.host = core::cloud_host;
  options.knobs = {"devfreq"};
  EXPECT_EQ(knobs(*open(m, options).value()),
            (std::vector<std::string>{"devfreq.17000000.gpu", "threads"}));
}

TEST(Host, TakesTheBoardsLevelFromItsClock) {
  const FakeMachine m(jetson);
  HostOptions options;
  options.board = "raspberry_pi_4";
  options.knobs = {"devfreq"};
  const auto host = open(m, options).value();
  // 1510.4 MHz is nearest to 1500, whatever the GPU does.
  const core::LevelIndex top = host->knobs->knobs()[0].levels.size() - 1;
  for (const core::LevelIndex gpu : {0, 4}) {
    const std::array<core::LevelIndex, 3> levels{top, gpu, 0};
    EXPECT_EQ(host->power(levels).busy, host->board.power(3, 1));
  }
  const std::array<core::LevelIndex, 3> slow{0, 0, 0};
  EXPECT_EQ(host->power(slow).busy, host->board.power(0, 1));
}

TEST(Host, TakesTheBoardsModeFromTheKnobThatSetsIt) {
  const FakeMachine m(jetson);
  HostOptions options;
  options.board = "jetson_nano";
  options.threads = {1, 4};
  options.knobs = {"command:nvpmodel:1@,0:true {level}"};
  const auto host = open(m, options).value();
  ASSERT_EQ(knobs(*host), (std::vector<std::string>{"cpu_frequency", "nvpmodel", "threads"}));
  for (const core::LevelIndex clock : {0, 1})
    for (const core::LevelIndex mode : {0, 1}) {
      const std::array<core::LevelIndex, 3> levels{clock, mode, 1};
      EXPECT_EQ(host->power(levels).busy, host->board.power(mode, 4)) << mode;
    }
  options.knobs.clear();
  const std::array<core::LevelIndex, 2> levels{0, 1};
  EXPECT_EQ(open(m, options).value()->power(levels).busy, host->board.power(1, 4))
      << "no knob sets it: the highest";
}

TEST(Host, RefusesWhatDoesNotGoTogether) {
  const FakeMachine m(jetson);
  HostOptions options;
  options.knobs = {"devfreq", "devfreq:17000000.gpu"};
  EXPECT_EQ(open(m, options).error().code, Errc::invalid_argument);
  options.knobs = {"cpufreq", "cpufreq:policy0"};
  EXPECT_EQ(open(m, options).error().code, Errc::invalid_argument);
  options.knobs = {"devfreq"};
  options.emulate_share = 0.5;
  EXPECT_EQ(open(m, options).error().code, Errc::invalid_argument);
  options.knobs.clear();
  options.board = "jetson_nano";
  EXPECT_EQ(open(m, options).error().code, Errc::invalid_argument);
  const FakeMachine bare;
  options = {};
  options.knobs = {"devfreq"};
  EXPECT_EQ(open(bare, options).error().code, core::Errc::unsupported);
}

}  // namespace
}  // namespace cleave::device_tests
