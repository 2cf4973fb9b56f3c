#include <cleave/runtime/breaker.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string>

namespace cleave::tests {
namespace {

using core::Seconds;
using runtime::Backoff;
using runtime::Breaker;

TEST(Backoff, EachWaitIsDrawnBetweenTheFirstAndThreeTimesTheOneBefore) {
  const runtime::BackoffOptions options{Seconds(0.05), Seconds(5), 42};
  Backoff backoff(options);
  std::mt19937_64 random(42);
  double previous = 0.05;
  for (int i = 0; i < 1000; ++i) {
    const double uniform = std::ldexp(static_cast<double>(random() >> 11), -53);
    previous = 0.05 + uniform * (std::min(5.0, 3 * previous) - 0.05);
    EXPECT_DOUBLE_EQ(backoff.next().count(), previous);
  }
}

TEST(Backoff, WaitsGrowToTheLongestAndNeverPassIt) {
  Backoff backoff({Seconds(0.05), Seconds(5), 7});
  double longest = 0, sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double wait = backoff.next().count();
    EXPECT_GE(wait, 0.05);
    EXPECT_LE(wait, 5);
    longest = std::max(longest, wait);
    sum += wait;
  }
  EXPECT_GT(longest, 4.9);
  EXPECT_GT(sum / 10000, 1);  // most draws are from nearly the whole interval
  backoff.reset();
  EXPECT_LE(backoff.next().count(), 0.15);
}

TEST(Backoff, ClientsThatLostThePeerTogetherDoNotComeBackTogether) {
  std::multiset<int> arrivals;  // in steps of 10 ms
  for (std::uint64_t client = 1; client <= 1000; ++client) {
    Backoff backoff({Seconds(0.05), Seconds(5), client});
    Seconds at(0);
    for (int attempt = 0; attempt < 6; ++attempt) at += backoff.next();
    arrivals.insert(static_cast<int>(at.count() * 100));
  }
  std::size_t most = 0;
  for (const int when : arrivals) most = std::max(most, arrivals.count(when));
  EXPECT_LT(most, 40u);
}

// What the breaker must be after a history of events, by the history alone:
// P a probe that was allowed, S a success, F a failure, T a trip, U a suspicion, A time passes.
Breaker::State expected_state(const std::string& history, int failures) {
  const std::size_t probe = history.rfind('P');
  if (probe == std::string::npos)
    return Breaker::State::open;
  const std::size_t verdict = history.find_first_of("SFT", probe);
  if (verdict == std::string::npos)
    return Breaker::State::half_open;
  if (history[verdict] != 'S')
    return Breaker::State::open;
  int in_a_row = 0;
  for (const char event : history.substr(verdict + 1)) {
    if (event == 'T' || event == 'U')
      return Breaker::State::open;
    in_a_row = event == 'F' ? in_a_row + 1 : event == 'S' ? 0 : in_a_row;
    if (in_a_row == failures)
      return Breaker::State::open;
  }
  return Breaker::State::closed;
}

// Whether a probe may begin: open, and the wait that followed the opening is over.
bool expected_probe(const std::string& history, int failures) {
  if (expected_state(history, failures) != Breaker::State::open)
    return false;
  // The event that opened it last: the shortest prefix from which on it is open.
  std::size_t opened = history.size();
  while (opened > 0 &&
         expected_state(history.substr(0, opened - 1), failures) == Breaker::State::open)
    --opened;
  const bool at_once = opened == 0 || history[opened - 1] == 'U';
  return at_once || history.find('A', opened) != std::string::npos;
}

class Every {
 public:
  explicit Every(int failures) : failures_(failures) {}

  void sequence(const Breaker& before, Seconds now, const std::string& history, int left) {
    ++count;
    ASSERT_EQ(before.state(), expected_state(history, failures_)) << history;
    if (left == 0)
      return;
    for (const char event : {'P', 'S', 'F', 'T', 'U', 'A'}) {
      Breaker breaker = before;
      std::string next = history;
      Seconds then = now;
      if (event == 'P') {
        const bool may = breaker.begin_probe(now);
        ASSERT_EQ(may, expected_probe(history, failures_)) << history;
        if (!may)
          continue;  // nothing happened
      } else if (event == 'S') {
        breaker.succeeded(now);
      } else if (event == 'F') {
        breaker.failed(now);
      } else if (event == 'T') {
        breaker.trip(now);
      } else if (event == 'U') {
        breaker.suspect(now);
      } else {
        then += Seconds(5);  // the longest wait
      }
      sequence(breaker, then, next + event, left - 1);
    }
  }

  int count = 0;

 private:
  int failures_;
};

TEST(Breaker, EverySequenceOfEventsLeadsWhereItsHistorySays) {
  for (const int failures : {1, 2, 3}) {
    Every every(failures);
    every.sequence(Breaker({{}, failures}), Seconds(0), "", 7);
    EXPECT_GT(every.count, 50000);
  }
}

TEST(Breaker, OneProbeAtATime) {
  Breaker breaker;
  EXPECT_TRUE(breaker.begin_probe(Seconds(0)));
  EXPECT_FALSE(breaker.begin_probe(Seconds(0)));
  EXPECT_FALSE(breaker.begin_probe(Seconds(1000)));
}

TEST(Breaker, AnEndpointThatAcceptsAndDiesIsTriedLessAndLessOften) {
  Breaker breaker({{Seconds(0.05), Seconds(5), 3}, 3});
  Seconds now(0);
  int probes = 0;
  for (; now < Seconds(100); ++probes) {
    now = std::max(now, breaker.retry_at());
    ASSERT_TRUE(breaker.begin_probe(now));
    breaker.succeeded(now);  // it says hello,
    breaker.trip(now);       // and is gone
  }
  EXPECT_LT(probes, 100);  // 50 ms apart it would be 2,000
  // One call that succeeds, and the waits are short again.
  now = breaker.retry_at();
  ASSERT_TRUE(breaker.begin_probe(now));
  breaker.succeeded(now);
  breaker.succeeded(now);
  breaker.trip(now);
  EXPECT_LE((breaker.retry_at() - now).count(), 0.15);
}

TEST(Breaker, AfterALongTimeOfQuietWaitsAreShortAgain) {
  Breaker breaker({{Seconds(0.05), Seconds(5), 3}, 3});
  Seconds now(0);
  for (int i = 0; i < 50; ++i) {
    now = std::max(now, breaker.retry_at());
    ASSERT_TRUE(breaker.begin_probe(now));
    breaker.failed(now);
  }
  now = breaker.retry_at();
  ASSERT_TRUE(breaker.begin_probe(now));
  breaker.succeeded(now);
  now += Seconds(5);
  breaker.trip(now);
  EXPECT_LE((breaker.retry_at() - now).count(), 0.15);
}

}  // namespace
}  // namespace cleave::tests
