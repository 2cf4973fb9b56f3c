#include <cleave/core/parse_units.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave::core;

TEST(ParseUnits, ReadsEveryUnitAndAPlainNumberInTheOneAskedFor) {
  EXPECT_DOUBLE_EQ(parse_duration("250us")->count(), 250e-6);
  EXPECT_DOUBLE_EQ(parse_duration("5 ms")->count(), 5e-3);
  EXPECT_DOUBLE_EQ(parse_duration("2s")->count(), 2);
  EXPECT_DOUBLE_EQ(parse_duration("7")->count(), 7e-3);
  EXPECT_DOUBLE_EQ(parse_duration("7", Seconds(1))->count(), 7);
  EXPECT_DOUBLE_EQ(parse_rate("9600bit")->count(), 1200);
  EXPECT_DOUBLE_EQ(parse_rate("500kbit")->count(), 62500);
  EXPECT_DOUBLE_EQ(parse_rate("20mbit")->count(), 2.5e6);
  EXPECT_DOUBLE_EQ(parse_rate("1gbit")->count(), 125e6);
  EXPECT_DOUBLE_EQ(parse_rate("2.5MB")->count(), 2.5e6);
  EXPECT_DOUBLE_EQ(parse_rate("20")->count(), 2.5e6);
  EXPECT_DOUBLE_EQ(parse_rate("16", BytesPerSecond(0.125))->count(), 2);
  EXPECT_DOUBLE_EQ(parse_bytes("64KiB")->count(), 65536);
  EXPECT_DOUBLE_EQ(parse_bytes("2.5MB")->count(), 2.5e6);
  EXPECT_DOUBLE_EQ(parse_bytes("1500")->count(), 1500);
}

TEST(ParseUnits, RefusesWhatIsNoQuantityAndSaysHowToWriteIt) {
  for (const char* text : {"", "ms", "-1ms", "1e400s", "nan", "inf", "5 fortnights", "5ms "}) {
    const auto duration = parse_duration(text);
    ASSERT_FALSE(duration) << text;
    EXPECT_EQ(duration.error().code, Errc::invalid_argument);
    EXPECT_NE(duration.error().hint, "");
    EXPECT_FALSE(parse_rate(text)) << text;
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
  EXPECT_FALSE(parse_rate("5ms"));
}

}  // namespace
