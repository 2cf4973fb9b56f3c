#include <cleave/core/bytes.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/sinks.hpp>

#include <gtest/gtest.h>

namespace {

using namespace cleave::core;

TEST(Bytes, AreLittleEndianOnTheWire) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.put(std::uint32_t{0x01020304});
  writer.put_string("hi");
  const std::vector<std::byte> expected = {
      std::byte{4}, std::byte{3}, std::byte{2}, std::byte{1},   std::byte{2},
      std::byte{0}, std::byte{0}, std::byte{0}, std::byte{'h'}, std::byte{'i'}};
  EXPECT_EQ(out, expected);
}

TEST(Bytes, ComeBackAsTheyWere) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.put(std::int64_t{-5});
  writer.put(1.5);
  writer.put(Errc::io);
  writer.put_string("caf\xc3\xa9");
  ByteReader reader(out);
  EXPECT_EQ(reader.get<std::int64_t>(), -5);
  EXPECT_EQ(reader.get<double>(), 1.5);
  EXPECT_EQ(reader.get<int>(), static_cast<int>(Errc::io));
  EXPECT_EQ(reader.get_string(100), "caf\xc3\xa9");
  EXPECT_TRUE(reader.finished());
}

TEST(Bytes, AfterTheFirstReadPastTheEndThereIsNothing) {
  const std::vector<std::byte> three(3, std::byte{7});
  ByteReader reader(three);
  EXPECT_EQ(reader.get<std::uint32_t>(), 0u);
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.get<std::uint8_t>(), 0u);
  EXPECT_TRUE(reader.take(1).empty());
  EXPECT_FALSE(reader.finished());
}

TEST(Bytes, ACountThatCannotBeThereIsRefusedBeforeAnythingIsAllocated) {
  std::vector<std::byte> out;
  ByteWriter writer(out);
  writer.put(std::uint32_t{0xffffffff});
  writer.put(std::uint64_t{0});
  EXPECT_EQ(ByteReader(out).get_string(0xffffffff), "");
  ByteReader reader(out);
  EXPECT_EQ(reader.get_count(4, 0xffffffff), 0u);
  EXPECT_FALSE(reader.ok());
  out[0] = std::byte{2};
  out[1] = out[2] = out[3] = std::byte{0};
  EXPECT_EQ(ByteReader(out).get_count(4, 10), 2u);
  EXPECT_EQ(ByteReader(out).get_count(5, 10), 0u);
  EXPECT_EQ(ByteReader(out).get_count(4, 1), 0u);
}

TEST(Clocks, TheManualOneMovesWhenTold) {
  ManualClock clock;
  EXPECT_EQ(clock.now(), Seconds(0));
  clock.advance(Seconds(1.5));
  EXPECT_EQ(clock.now(), Seconds(1.5));
  SteadyClock steady;
  const Seconds before = steady.now();
  EXPECT_GE(steady.now(), before);
}

TEST(Sinks, TheNullOnesTakeEverythingAndSayNothing) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  null_log().log(Severity::error, "test", "nothing is printed");
  null_metrics().observe("test.seconds", 1);
  null_metrics().add("test.count");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
