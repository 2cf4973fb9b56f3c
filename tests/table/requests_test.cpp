#include <cleave/table/requests.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using table::make_requests;
using table::parse_requests;
using table::RequestPattern;

constexpr RequestPattern all_patterns[] = {RequestPattern::weibull, RequestPattern::uniform,
                                           RequestPattern::bursts, RequestPattern::diurnal};

TEST(Requests, ReadsWhatIsThereAndNoMore) {
  const auto read =
      parse_requests("arrival_ms,who,deadline_ms,accuracy_floor\n5,a,250,0.5\n1,b,90.5,0\n", "r");
  ASSERT_TRUE(read.has_value()) << read.error().message();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].arrival, core::milliseconds(5));
  EXPECT_EQ((*read)[0].accuracy_floor, 0.5);
  EXPECT_EQ((*read)[1].deadline, core::milliseconds(90.5));
  const auto bare = parse_requests("deadline_ms\n100\n", "r");
  ASSERT_TRUE(bare.has_value());
  EXPECT_EQ((*bare)[0].arrival, core::Seconds());
}

TEST(Requests, RefusesGarbageAndTellsTheLine) {
  for (const char* text : {"", "deadline_ms\n", "a\n1\n", "deadline_ms\n0\n", "deadline_ms\nnan\n",
                           "deadline_ms\n-1\n", "deadline_ms,accuracy_floor\n1,2\n",
                           "deadline_ms,arrival_ms\n1,-2\n", "deadline_ms\n1,2\n"}) {
    const auto read = parse_requests(text, "req.csv");
    ASSERT_FALSE(read.has_value()) << text;
    EXPECT_EQ(read.error().code, core::Errc::corrupt);
    EXPECT_NE(read.error().message().find("req.csv:"), std::string::npos) << read.error().message();
  }
}

TEST(Requests, MadeOnesAreReadBackAndEqualForEqualSeeds) {
  for (const RequestPattern pattern : all_patterns) {
    const auto made = make_requests({.pattern = pattern, .count = 200, .seed = 7});
    ASSERT_TRUE(made.has_value());
    EXPECT_EQ(*made, *make_requests({.pattern = pattern, .count = 200, .seed = 7}));
    EXPECT_NE(*made, *make_requests({.pattern = pattern, .count = 200, .seed = 8}));
    const auto read = parse_requests(table::to_csv(*made), "r");
    ASSERT_TRUE(read.has_value()) << read.error().message();
    ASSERT_EQ(read->size(), made->size());
    for (std::size_t i = 0; i < read->size(); ++i) {
      EXPECT_NEAR((*read)[i].deadline.count(), (*made)[i].deadline.count(), 1e-12);
      EXPECT_NEAR((*read)[i].arrival.count(), (*made)[i].arrival.count(), 1e-9);
    }
  }
}

TEST(Requests, KeepTheirRateAndTheRangeOfDeadlines) {
  for (const RequestPattern pattern : all_patterns) {
    const auto made = make_requests({.pattern = pattern,
                                     .count = 20'000,
                                     .shortest = core::milliseconds(90),
                                     .longest = core::Seconds(2),
                                     .rate = 5,
                                     .period = core::Seconds(100)});
    ASSERT_TRUE(made.has_value());
    EXPECT_NEAR(20'000 / made->back().arrival.count(), 5, 0.3) << to_string(pattern);
    double before = 0;
    for (const auto& request : *made) {
      EXPECT_GE(request.deadline, core::milliseconds(90));
      EXPECT_LE(request.deadline, core::Seconds(2));
      EXPECT_GE(request.arrival.count(), before);
      before = request.arrival.count();
    }
  }
}

TEST(Requests, BurstsComeCloseTogetherAndDiurnalOnesByDay) {
  // Of exponential intervals a share of e^-0.5 is longer than half the mean; of a burst's hardly
  // any.
  const auto bursts = make_requests({.pattern = RequestPattern::bursts, .count = 10'000});
  ASSERT_TRUE(bursts.has_value());
  std::size_t close = 0;
  for (std::size_t i = 1; i < bursts->size(); ++i)
    close += ((*bursts)[i].arrival - (*bursts)[i - 1].arrival).count() < 0.5;
  EXPECT_GT(close, 8'500u);
  const auto daily = make_requests(
      {.pattern = RequestPattern::diurnal, .count = 10'000, .period = core::Seconds(500)});
  ASSERT_TRUE(daily.has_value());
  // Half of a day around noon has (1/2 + 0.8/pi) of the requests.
  std::size_t by_day = 0;
  for (const auto& request : *daily) {
    const double hour = std::fmod(request.arrival.count(), 500) / 500;
    by_day += hour > 0.25 && hour < 0.75;
  }
  EXPECT_NEAR(static_cast<double>(by_day) / 10'000, 0.5 + 0.8 / 3.14159265, 0.02);
}

TEST(Requests, RefusesWhatMakesNoSense) {
  EXPECT_FALSE(make_requests({.count = 0}).has_value());
  EXPECT_FALSE(make_requests({.count = table::most_requests + 1}).has_value());
  EXPECT_FALSE(make_requests({.shortest = core::Seconds(2), .longest = core::Seconds(1)}));
  EXPECT_FALSE(make_requests({.shape = 0}).has_value());
  EXPECT_FALSE(make_requests({.rate = -1}).has_value());
  EXPECT_FALSE(make_requests({.burst = 0}).has_value());
  EXPECT_FALSE(table::parse_request_pattern("poisson").has_value());
}

}  // namespace
