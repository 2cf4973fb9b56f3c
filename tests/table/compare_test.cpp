#include "tests/table/sample.hpp"

#include <cleave/table/compare.hpp>

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace cleave;
using core::milliseconds;
using table::Difference;
using tests::sample_located_profile;
using tests::sample_profile;

const Difference* find(const table::ProfileComparison& comparison, const std::string& part,
                       const std::string& what) {
  const auto found =
      std::find_if(comparison.differences.begin(), comparison.differences.end(),
                   [&](const Difference& d) { return d.part == part && d.what == what; });
  return found == comparison.differences.end() ? nullptr : &*found;
}

TEST(Compare, AProfileDoesNotDifferFromItself) {
  const auto comparison = table::compare(sample_located_profile(), sample_located_profile());
  ASSERT_TRUE(comparison) << comparison.error().message();
  // Two settings and one of compute, two codecs at each both ways, four of the link.
  EXPECT_EQ(comparison->differences.size(), 2U + 1U + 4U + 2U + 4U);
  for (const Difference& difference : comparison->differences) {
    EXPECT_EQ(difference.ratio(), 1) << difference.part << difference.what;
    EXPECT_FALSE(difference.beyond_spread.value_or(false));
  }
  EXPECT_TRUE(comparison->only_a.empty() && comparison->only_b.empty());
  EXPECT_TRUE(comparison->edge_made_on.empty() && comparison->cloud_made_on.empty());
}

TEST(Compare, ADifferenceBeyondTwoStandardErrorsIsSaidToBe) {
  const auto a = sample_profile();
  // Mean 15 ms, standard deviation 0.75 ms of 40 samples: 2 sqrt(2 * 0.75^2 / 40) = 0.3354 ms.
  for (const auto& [shift, beyond] : {std::pair{0.335, false}, std::pair{0.336, true}}) {
    auto b = a;
    b.hosts[0].settings[1].whole.mean += milliseconds(shift);
    const auto comparison = table::compare(a, b);
    ASSERT_TRUE(comparison);
    const Difference* found = find(*comparison, "edge compute", "cpu_share 100 %");
    ASSERT_NE(found, nullptr);
    EXPECT_EQ(found->beyond_spread, beyond) << shift;
    EXPECT_DOUBLE_EQ(found->ratio(), (15 + shift) / 15);
  }
}

TEST(Compare, CodecsAreThoseOfTheMedianCutAndTellNoSpread) {
  const auto a = sample_profile();
  auto b = a;
  b.hosts[0].settings[0].codecs[1].encode_per_byte *= 2;
  const auto comparison = table::compare(a, b);
  ASSERT_TRUE(comparison);
  const Difference* found = find(*comparison, "encode", "int8 at cpu_share 25 %");
  ASSERT_NE(found, nullptr);
  // Raw bytes 40, 20000, 50176, 100000: the upper median. 20 us + 12 ns a byte at the slow level.
  EXPECT_NEAR(found->a, 20e-6 + 12e-9 * 50176, 1e-12);
  EXPECT_NEAR(found->b, 20e-6 + 24e-9 * 50176, 1e-12);
  EXPECT_FALSE(found->beyond_spread.has_value());
}

TEST(Compare, SettingsAndCodecsOfOneSideAreListed) {
  const auto a = sample_profile();
  auto b = a;
  b.hosts[0].knobs[0].levels[0].label = "50 %";
  b.codecs[1] = "q4";
  const auto comparison = table::compare(a, b);
  ASSERT_TRUE(comparison);
  EXPECT_EQ(comparison->only_a, (std::vector<std::string>{"edge at cpu_share 25 %", "codec int8"}));
  EXPECT_EQ(comparison->only_b, (std::vector<std::string>{"edge at cpu_share 50 %", "codec q4"}));
  EXPECT_EQ(find(*comparison, "encode", "int8 at cpu_share 100 %"), nullptr);
}

TEST(Compare, TheLinkAndTheMachinesAreCompared) {
  const auto a = sample_located_profile();
  auto b = a;
  b.link.round_trip = milliseconds(14);  // 10 ms with deviations of 1.5 ms: 2 sqrt(4.5) = 4.24
  b.link.up = core::megabits_per_second(10);
  b.hosts[0].made_on.machine = "camera-2";
  auto comparison = table::compare(a, b);
  ASSERT_TRUE(comparison);
  EXPECT_EQ(find(*comparison, "link", "round trip")->beyond_spread, false);
  EXPECT_EQ(find(*comparison, "link", "up")->ratio(), 0.5);
  EXPECT_EQ(find(*comparison, "link", "up")->unit, Difference::Unit::bytes_per_second);
  EXPECT_EQ(comparison->edge_made_on, std::vector<std::string>{"machine camera-1, here camera-2"});
  b.link.round_trip = milliseconds(14.3);
  comparison = table::compare(a, b);
  EXPECT_EQ(find(*comparison, "link", "round trip")->beyond_spread, true);
}

TEST(Compare, AnotherNetworkIsAMismatchAndOtherWeightsAreNot) {
  const auto a = sample_profile();
  auto b = a;
  b.model.weights ^= 1;
  EXPECT_TRUE(table::compare(a, b));
  b.model.structure ^= 1;
  EXPECT_EQ(table::compare(a, b).error().code, core::Errc::mismatch);
  b = a;
  b.hosts[0].settings[0].codecs.clear();
  EXPECT_EQ(table::compare(a, b).error().code, core::Errc::invalid_argument);
}

}  // namespace
