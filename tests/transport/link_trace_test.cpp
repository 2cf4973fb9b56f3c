#include <cleave/transport/link_model.hpp>
#include <cleave/transport/link_trace.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using core::BytesPerSecond;
using core::Errc;
using core::Seconds;
using transport::LinkClock;
using transport::LinkModel;
using transport::LinkTrace;

LinkTrace parse(std::string_view text) {
  auto trace = LinkTrace::parse(text, "t.csv");
  EXPECT_TRUE(trace) << trace.error().message();
  return std::move(*trace);
}

TEST(LinkTrace, ReadsColumnsInAnyOrderWithUnitsAndWithout) {
  const auto trace = parse(
      "# a comment\n"
      "delay, time_s,rate_down,jitter,rate\r\n"
      "5ms,0,2.5MB,250us,8000\n"
      "\n"
      "7,1.5,1gbit,1,500kbit\n");
  ASSERT_EQ(trace.rows().size(), 2U);
  const auto& a = trace.rows()[0];
  EXPECT_DOUBLE_EQ(a.delay.count(), 0.005);
  EXPECT_DOUBLE_EQ(a.up.count(), 1000);
  EXPECT_DOUBLE_EQ(a.down.count(), 2.5e6);
  EXPECT_DOUBLE_EQ(a.jitter.count(), 250e-6);
  const auto& b = trace.rows()[1];
  EXPECT_DOUBLE_EQ(b.at.count(), 1.5);
  EXPECT_DOUBLE_EQ(b.delay.count(), 0.007);
  EXPECT_DOUBLE_EQ(b.up.count(), 62500);
  EXPECT_DOUBLE_EQ(b.down.count(), 125e6);
  const auto plain = parse("time_s,rate,delay\n0,1mbit,1\n");
  EXPECT_EQ(plain.rows()[0].down, plain.rows()[0].up);
  EXPECT_EQ(plain.rows()[0].jitter, Seconds(0));
}

// What holds when, compared with a walk through the rows.
TEST(LinkTrace, IsConstantBetweenRowsAndGoesRoundWhereAsked) {
  const auto trace = parse("time_s,rate,delay\n0,1,0\n0.5,2,0\n2,3,0\n3,0,0\n");
  EXPECT_DOUBLE_EQ(trace.duration().count(), 4);
  for (const bool repeat : {false, true})
    for (double now = 0; now < 20; now += 0.125) {
      const double within = repeat ? std::fmod(now, 4) : now;
      std::size_t row = 0;
      for (std::size_t i = 0; i < trace.rows().size(); ++i)
        if (trace.rows()[i].at.count() <= within)
          row = i;
      EXPECT_EQ(&trace.at(Seconds(now), repeat), &trace.rows()[row]) << now;
      double next = now;
      while (next < 40 && &trace.at(Seconds(next), repeat) == &trace.rows()[row]) next += 0.125;
      const double told = trace.next_change(Seconds(now), repeat).count();
      if (next >= 40)
        EXPECT_TRUE(std::isinf(told)) << now;
      else
        EXPECT_DOUBLE_EQ(told, next) << now;
    }
  EXPECT_TRUE(
      std::isinf(parse("time_s,rate,delay\n0,1,0\n").next_change(Seconds(5), true).count()));
}

TEST(LinkTrace, SaysWhichLineIsWrongAndWhatToDo) {
  const struct {
    const char *text, *where, *what;
  } cases[] = {
      {"", "t.csv:1", "header"},
      {"time_s,rate,delay\n", "t.csv:2", "no row"},
      {"time_s,rate\n0,1\n", "t.csv:1", "'delay'"},
      {"time_s,rate,delay,loss\n0,1,1,0\n", "t.csv:1", "'loss'"},
      {"time_s,rate,delay,rate\n0,1,1,1\n", "t.csv:1", "twice"},
      {"time_s,rate,delay,\n0,1,1,\n", "t.csv:1", "''"},
      {"0,1,2\n", "t.csv:1", "'0'"},
      {"time_s,rate,delay\n0,1,1\n1,1\n", "t.csv:3", "2 fields"},
      {"time_s,rate,delay\n0,1,1,1\n", "t.csv:2", "4 fields"},
      {"time_s,rate,delay\n0,fast,1\n", "t.csv:2", "rate: not a rate: 'fast'"},
      {"time_s,rate,delay\n0,1,-1\n", "t.csv:2", "delay: not a duration"},
      {"time_s,rate,delay\n1,1,1\n", "t.csv:2", "not 0"},
      {"time_s,rate,delay\n0,1,1\n\n2,1,1\n2,1,1\n", "t.csv:5", "does not increase"},
  };
  for (const auto& wrong : cases) {
    const auto trace = LinkTrace::parse(wrong.text, "t.csv");
    ASSERT_FALSE(trace) << wrong.text;
    EXPECT_EQ(trace.error().code, Errc::corrupt);
    EXPECT_EQ(trace.error().where, wrong.where) << trace.error().message();
    EXPECT_NE(trace.error().what.find(wrong.what), std::string::npos) << trace.error().message();
    EXPECT_NE(trace.error().hint, "") << trace.error().message();
  }
  EXPECT_EQ(LinkTrace::read("nowhere.csv").error().code, Errc::not_found);
}

// Whatever the bytes are, there is a trace that can be followed, or an error that names the file.
TEST(LinkTrace, SpoiltFilesAreReadOrRefused) {
  const std::string whole = "time_s,rate,delay,jitter\n0,20mbit,5ms,1\n1.5,0,7ms,2\n3,1e6,1s,3us\n";
  std::mt19937 random(1);
  int refused = 0, read = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string text = whole;
    for (unsigned change = 0; change <= static_cast<unsigned>(i) % 3; ++change)
      text[random() % text.size()] = "0123456789.,\n-e#smx\0\xff"[random() % 22];
    const auto trace = LinkTrace::parse(text, "t.csv");
    if (!trace) {
      ++refused;
      EXPECT_EQ(trace.error().where.find("t.csv"), 0U);
      continue;
    }
    ++read;
    double now = 0;
    for (int row = 0; row < 10 && std::isfinite(now); ++row) {
      const auto& at = trace->at(Seconds(now), true);
      EXPECT_TRUE(at.up.count() >= 0 && at.down.count() >= 0 && at.delay.count() >= 0);
      const double next = trace->next_change(Seconds(now), true).count();
      EXPECT_GT(next, now);
      now = next;
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(read, 100);
}

TEST(LinkTrace, NoMoreRowsThanTheLimitAreKept) {
  std::string text = "time_s,rate,delay\n";
  for (std::size_t i = 0; i <= LinkTrace::row_limit; ++i) text += std::to_string(i) + ",1,1\n";
  EXPECT_EQ(LinkTrace::parse(text, "long.csv").error().code, Errc::exhausted);
}

// The levels of the table in docs/traces.md.
TEST(LinkTrace, TheTracesThatComeWithCleaveAreNearThePublishedRates) {
  const struct {
    const char* name;
    double up, down, round_trip;
  } published[] = {{"3g", 2.0, 5.9, 63.5},
                   {"4g", 7.6, 29.5, 53.1},
                   {"5g", 14.7, 129.9, 31},
                   {"wifi", 18.4, 69.4, 15}};
  for (const auto& link : published) {
    const auto trace = LinkTrace::read(std::filesystem::path(CLEAVE_SOURCE_DIR) / "data/traces" /
                                       (std::string(link.name) + ".csv"));
    ASSERT_TRUE(trace) << trace.error().message();
    EXPECT_DOUBLE_EQ(trace->duration().count(), 300);
    std::vector<double> up, down, delay;
    for (const auto& row : trace->rows()) {
      up.push_back(row.up.count() * 8e-6);
      down.push_back(row.down.count() * 8e-6);
      delay.push_back(row.delay.count() * 1e3);
    }
    const auto near = [&](std::vector<double>& values, double right, double part) {
      const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
      std::nth_element(values.begin(), middle, values.end());
      EXPECT_NEAR(*middle, right, part * right) << link.name;
    };
    near(up, link.up, 0.25);
    near(down, link.down, 0.25);
    near(delay, link.round_trip / 2, 0.15);
    EXPECT_GT(*std::max_element(up.begin(), up.end()), 4 * *std::min_element(up.begin(), up.end()));
  }
}

TEST(LinkClock, StandsAndGoesOn) {
  LinkClock clock;
  EXPECT_EQ(clock.at(Seconds(3)), Seconds(3));
  clock.set_stopped(true, Seconds(4));
  clock.set_stopped(true, Seconds(5));
  EXPECT_EQ(clock.at(Seconds(10)), Seconds(4));
  clock.set_stopped(false, Seconds(10));
  EXPECT_EQ(clock.at(Seconds(11)), Seconds(5));
  clock.set_stopped(true, Seconds(12));
  clock.set_stopped(false, Seconds(13));
  EXPECT_EQ(clock.at(Seconds(13)), Seconds(6));
}

// A sender that always has something to send gets the integral of the rate, and not a byte more;
// while the link stands nothing arrives.
TEST(LinkTrace, OverAnyIntervalALinkCarriesTheIntegralOfTheRate) {
  const auto trace =
      parse("time_s,rate,delay\n0,8mbit,10ms\n1,2mbit,20ms\n3,0,20ms\n4,16mbit,5ms\n");
  LinkModel model(trace.rows()[0].up, trace.rows()[0].delay, Seconds(0), 1);
  LinkClock clock;
  double carried[4] = {};
  for (double now = 0; now < 6; now += 1e-4) {
    const auto& row = trace.at(Seconds(now), false);
    clock.set_stopped(row.up.count() == 0, Seconds(now));
    if (row.up.count() > 0)
      model.set(row.up, row.delay, Seconds(0));
    while (!clock.stopped() && model.backlog(clock.at(Seconds(now))) <= Seconds(2e-3)) {
      const std::size_t bytes = 1000;
      const auto times = model.send(bytes, clock.at(Seconds(now)));
      EXPECT_GE((times.arrives - times.departs).count(), row.delay.count() - 1e-12);
      carried[&row - trace.rows().data()] += bytes;
    }
  }
  // To what waits in the sender's queue where the rate changes.
  EXPECT_NEAR(carried[0], 1e6, 5000);
  EXPECT_NEAR(carried[1], 0.5e6, 5000);
  EXPECT_EQ(carried[2], 0);
  EXPECT_NEAR(carried[3], 4e6, 10000);
}

}  // namespace
