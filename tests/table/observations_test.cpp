#include "tests/support/synthetic_observations.hpp"

#include <cleave/table/observations.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace {

using namespace cleave;
using table::Observations;
using table::parse_observations;

TEST(Observations, ReadsKnobsRunsAndAccuracyOfAHandMadeFile) {
  const auto read = parse_observations(
      "run,knob.cut,latency_ms,knob.mode,energy_j,accuracy\n"
      "1,10,20,max,1.5,0.9\n"
      "2,2,40,off,0.5,0.8\n"
      "3,10.0,30,max,2.5,0.7\n",
      "obs.csv");
  ASSERT_TRUE(read.has_value()) << read.error().message();
  ASSERT_EQ(read->knobs.size(), 2u);
  EXPECT_EQ(read->knobs[0].name, "cut");
  EXPECT_FALSE(read->knobs[0].categorical);
  EXPECT_EQ(read->knobs[0].levels[0].value, 2);
  EXPECT_EQ(read->knobs[0].levels[1].value, 10);
  EXPECT_TRUE(read->knobs[1].categorical);
  EXPECT_EQ(read->knobs[1].levels[0].label, "max");
  EXPECT_TRUE(read->has_accuracy);
  ASSERT_EQ(read->configurations.size(), 2u);
  const auto& first = read->configurations[0];
  EXPECT_EQ(first.levels, (std::vector<core::LevelIndex>{1, 0}));
  ASSERT_EQ(first.runs.size(), 2u);
  EXPECT_NEAR(table::mean_of(first).latency.count(), 0.025, 1e-12);
  EXPECT_NEAR(table::mean_of(first).energy.count(), 2.0, 1e-12);
  EXPECT_NEAR(table::mean_of(first).accuracy, 0.8, 1e-12);
  EXPECT_EQ(table::describe(read->knobs, first.levels), "cut=10, mode=max");
}

TEST(Observations, ReadsQuotesWindowsLinesAndAByteOrderMark) {
  const auto read = parse_observations(
      "\xEF\xBB\xBF\"knob.mode\",latency_ms,energy_j\r\n\"a \"\"b\"\",c\",1,2\r\n\r\nd, 3 ,4",
      "obs.csv");
  ASSERT_TRUE(read.has_value()) << read.error().message();
  EXPECT_EQ(read->knobs[0].levels[0].label, "a \"b\",c");
  EXPECT_EQ(read->configurations[1].runs[0].latency, core::milliseconds(3));
  EXPECT_EQ(read->configurations[1].runs[0].accuracy, 1);
}

TEST(Observations, RefusesGarbageAndTellsTheLine) {
  const std::map<std::string, std::string> garbage = {
      {"", "empty"},
      {"knob.a,latency_ms,energy_j\n", "no row"},
      {"knob.a,latency_ms\n1,2\n", "energy_j"},
      {"knob.a,energy_j\n1,2\n", "latency_ms"},
      {"latency_ms,energy_j\n1,2\n", "knob."},
      {"knob.a,knob.a,latency_ms,energy_j\n1,1,1,2\n", "twice"},
      {"knob.a,latency_ms,energy_j\n1,1,1\n1,nan,1\n", "obs.csv:3, column latency_ms"},
      {"knob.a,latency_ms,energy_j\n1,inf,1\n", "obs.csv:2"},
      {"knob.a,latency_ms,energy_j\n1,0,1\n", "above 0"},
      {"knob.a,latency_ms,energy_j\n1,-3,1\n", "above 0"},
      {"knob.a,latency_ms,energy_j\n1,1e999,1\n", "not a finite"},
      {"knob.a,latency_ms,energy_j\n1,2ms,1\n", "not a finite"},
      {"knob.a,latency_ms,energy_j\n\n\n1,2,-1\n", "obs.csv:4, column energy_j"},
      {"knob.a,latency_ms,energy_j\n1,2\n", "2 fields"},
      {"knob.a,latency_ms,energy_j\n1,2,3,4\n", "4 fields"},
      {"knob.a,latency_ms,energy_j\n,2,3\n", "no value"},
      {"knob.a,latency_ms,energy_j,accuracy\n1,2,3,93\n", "accuracy"},
      {"knob.a,latency_ms,energy_j,accuracy\n1,2,3,\n", "accuracy"},
      {"knob.a,latency_ms,energy_j\n\"1,2,3\n", "not closed"},
      {"knob.a,latency_ms,energy_j\n\"1\"x,2,3\n", "after a closing quote"},
      {"knob.a,latency_ms,energy_j\n1\"2\",2,3\n", "quote"},
      {std::string("knob.a,latency_ms,energy_j\n1\0,2,3\n", 34), "value 0"},
      {"knob.a,latency_ms,energy_j\n" + std::string(5000, 'x') + ",2,3\n", "4096 bytes"},
      {std::string(5000, ','), "4096 fields"},
  };
  for (const auto& [text, expected] : garbage) {
    const auto read = parse_observations(text, "obs.csv");
    ASSERT_FALSE(read.has_value()) << text.substr(0, 100);
    EXPECT_EQ(read.error().code, core::Errc::corrupt) << read.error().message();
    EXPECT_NE(read.error().message().find(expected), std::string::npos) << read.error().message();
    EXPECT_NE(read.error().message().find("obs.csv"), std::string::npos);
  }
}

TEST(Observations, BoundsTheValuesOfOneKnob) {
  std::string text = "knob.a,latency_ms,energy_j\n";
  for (int i = 0; i < 66'000; ++i) text += std::to_string(i) + ",1,1\n";
  const auto read = parse_observations(text, "obs.csv");
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, core::Errc::exhausted);
}

TEST(Observations, AreReadBackAsTheyWereWritten) {
  const Observations made = test::synthetic_observations(test::synthetic_spaces[1], 3);
  const auto read = parse_observations(table::to_csv(made), made.name);
  ASSERT_TRUE(read.has_value()) << read.error().message();
  ASSERT_EQ(read->configurations.size(), made.configurations.size());
  for (std::size_t i = 0; i < made.configurations.size(); ++i) {
    EXPECT_EQ(table::describe(read->knobs, read->configurations[i].levels),
              table::describe(made.knobs, made.configurations[i].levels));
    ASSERT_EQ(read->configurations[i].runs.size(), made.configurations[i].runs.size());
    EXPECT_NEAR(read->configurations[i].runs[0].latency.count(),
                made.configurations[i].runs[0].latency.count(), 1e-12);
    EXPECT_EQ(read->configurations[i].runs[0].energy, made.configurations[i].runs[0].energy);
  }
}

}  // namespace
