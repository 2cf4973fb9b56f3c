#include "lib/transport/peer_guard.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>

namespace {

using namespace cleave;
using core::Seconds;
using transport::LogThrottle;
using transport::PeerGuard;
using transport::PeerLimits;
using transport::ProgressWatch;
using Verdict = PeerGuard::Arrival::Verdict;

PeerLimits limits_of(std::size_t per_address, std::size_t handshakes,
                     std::size_t handshakes_per_address) {
  PeerLimits limits;
  limits.max_connections_per_address = per_address;
  limits.max_handshakes = handshakes;
  limits.max_handshakes_per_address = handshakes_per_address;
  return limits;
}

TEST(PeerGuard, OneMoreThanTheLimitIsRefused) {
  PeerGuard guard(limits_of(2, 100, 100), 3);
  const auto first = guard.arrive("a", Seconds(0));
  EXPECT_EQ(guard.arrive("a", Seconds(0)).verdict, Verdict::welcome);
  const auto third = guard.arrive("a", Seconds(0));
  EXPECT_EQ(third.verdict, Verdict::refuse);
  EXPECT_EQ(third.why, "too many connections from this address");
  EXPECT_EQ(guard.arrive("b", Seconds(0)).verdict, Verdict::welcome);
  EXPECT_EQ(guard.arrive("c", Seconds(0)).why, "too many connections");
  guard.left(first.id);
  guard.left(first.id);  // twice is once
  EXPECT_EQ(guard.connections(), 2U);
  EXPECT_EQ(guard.arrive("a", Seconds(0)).verdict, Verdict::welcome);
}

TEST(PeerGuard, AHandshakeTooManySendsTheOldestOfItsAddressAway) {
  PeerGuard guard(limits_of(100, 100, 2), 100);
  const auto first = guard.arrive("a", Seconds(0));
  const auto second = guard.arrive("a", Seconds(0));
  guard.established(first.id);
  EXPECT_FALSE(guard.arrive("a", Seconds(0)).shed);
  const auto last = guard.arrive("a", Seconds(0));
  EXPECT_EQ(last.shed, second.id);  // the first is no handshake any more
  EXPECT_EQ(last.verdict, Verdict::welcome);
  EXPECT_EQ(guard.handshakes(), 2U);
  EXPECT_EQ(guard.connections(), 3U);
}

TEST(PeerGuard, AFloodOfOneAddressMakesRoomForAnother) {
  PeerGuard guard(limits_of(1000, 10, 1000), 1000);
  for (int i = 0; i < 500; ++i) guard.arrive("flood", Seconds(0));
  EXPECT_EQ(guard.handshakes(), 10U);
  const auto honest = guard.arrive("honest", Seconds(0));
  EXPECT_EQ(honest.verdict, Verdict::welcome);
  for (int i = 0; i < 500; ++i) EXPECT_NE(guard.arrive("flood", Seconds(0)).shed, honest.id);
}

// Against a list that is searched from end to end.
TEST(PeerGuard, CountsAsAPlainListDoes) {
  struct Peer {
    PeerGuard::Id id;
    std::string address;
    bool handshake;
  };
  const PeerLimits limits = limits_of(5, 8, 4);
  constexpr std::size_t most = 12;
  PeerGuard guard(limits, most);
  std::deque<Peer> list;
  const auto count = [&](const std::string& address, bool handshakes_only) {
    return static_cast<std::size_t>(std::count_if(list.begin(), list.end(), [&](const Peer& p) {
      return (address.empty() || p.address == address) && (p.handshake || !handshakes_only);
    }));
  };
  const auto oldest = [&](const std::string& address) {
    return std::find_if(list.begin(), list.end(),
                        [&](const Peer& p) { return p.handshake && p.address == address; });
  };
  std::mt19937_64 random(3);
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0) {
      const std::string address(1, static_cast<char>('a' + random() % 4));
      auto shed = list.end();
      if (count(address, true) >= limits.max_handshakes_per_address) {
        shed = oldest(address);
      } else if (count("", true) >= limits.max_handshakes) {
        std::string busiest;
        for (const std::string other : {"a", "b", "c", "d"})
          if (count(other, true) > (busiest.empty() ? 0 : count(busiest, true)))
            busiest = other;
        shed = oldest(busiest);
      }
      const auto arrival = guard.arrive(address, Seconds(0));
      ASSERT_EQ(arrival.shed.value_or(0), shed == list.end() ? 0 : shed->id);
      if (shed != list.end())
        list.erase(shed);
      const bool room = list.size() < most && count(address, false) < 5;
      ASSERT_EQ(arrival.verdict, room ? Verdict::welcome : Verdict::refuse);
      if (room)
        list.push_back({arrival.id, address, true});
    } else if (!list.empty()) {
      const auto peer = list.begin() + static_cast<std::ptrdiff_t>(random() % list.size());
      if (random() % 2 == 0) {
        guard.established(peer->id);
        peer->handshake = false;
      } else {
        guard.left(peer->id);
        list.erase(peer);
      }
    }
    ASSERT_EQ(guard.connections(), list.size());
    ASSERT_EQ(guard.handshakes(), count("", true));
  }
}

TEST(PeerGuard, FailuresCloseTheDoorAndAreForgivenOneAtATime) {
  PeerLimits limits;
  limits.max_failures_per_address = 3;
  limits.failure_memory = Seconds(10);
  PeerGuard guard(limits, 100);
  EXPECT_EQ(guard.failed("a", Seconds(0)), 1U);
  EXPECT_EQ(guard.failed("a", Seconds(0)), 2U);
  EXPECT_EQ(guard.arrive("a", Seconds(0)).verdict, Verdict::welcome);
  EXPECT_EQ(guard.failed("a", Seconds(0)), 3U);
  EXPECT_EQ(guard.arrive("a", Seconds(0)).verdict, Verdict::drop);
  EXPECT_EQ(guard.arrive("b", Seconds(0)).verdict, Verdict::welcome);
  EXPECT_EQ(guard.arrive("a", Seconds(9.9)).verdict, Verdict::drop);
  EXPECT_EQ(guard.arrive("a", Seconds(10)).verdict, Verdict::welcome);
  EXPECT_EQ(guard.failed("a", Seconds(10)), 3U);
  EXPECT_EQ(guard.arrive("a", Seconds(10)).verdict, Verdict::drop);
  // So in the long run one attempt each 10 s: after a day 3 + 8640.
  int attempts = 0;
  for (int second = 100; second < 100 + 86400; ++second)
    if (guard.arrive("a", Seconds(second)).verdict == Verdict::welcome) {
      ++attempts;
      guard.failed("a", Seconds(second));
    }
  EXPECT_NEAR(attempts, 3 + 8640, 1);
}

TEST(PeerGuard, MemoryOfFailuresIsBounded) {
  PeerLimits limits;
  limits.max_failures_per_address = 1;
  limits.failure_memory = Seconds(3600);
  PeerGuard guard(limits, 1000000);
  const auto address = [](int i) { return "address " + std::to_string(i); };
  for (int i = 0; i < 100000; ++i) guard.failed(address(i), Seconds(0));
  // The latest are known still, those of long ago are not.
  EXPECT_EQ(guard.arrive(address(99999), Seconds(0)).verdict, Verdict::drop);
  EXPECT_EQ(guard.arrive(address(99999 - 4095), Seconds(0)).verdict, Verdict::drop);
  EXPECT_EQ(guard.arrive(address(99999 - 4096), Seconds(0)).verdict, Verdict::welcome);
  // Who fails again is as good as new.
  guard.failed(address(99999 - 4095), Seconds(0));
  guard.failed(address(0), Seconds(0));
  EXPECT_EQ(guard.arrive(address(99999 - 4095), Seconds(0)).verdict, Verdict::drop);
}

// A peer of a constant rate is dropped exactly when rate * time < bytes.
TEST(ProgressWatch, DropsWhoIsSlowerThanBytesPerTime) {
  for (const double rate : {0.0, 10.0, 90.0, 110.0, 1000.0}) {
    ProgressWatch watch(Seconds(10), 1000);
    bool stalled = false;
    for (int tick = 0; tick <= 1000; ++tick) {
      const double now = tick * 0.1;
      stalled =
          stalled || watch.stalled(true, static_cast<std::uint64_t>(rate * now), Seconds(now));
    }
    EXPECT_EQ(stalled, rate * 10 < 1000) << rate;
  }
}

TEST(ProgressWatch, CountsOnlyWhileSomethingIsUnderWay) {
  ProgressWatch watch(Seconds(10), 1000);
  EXPECT_FALSE(watch.stalled(false, 0, Seconds(0)));
  EXPECT_FALSE(watch.stalled(false, 0, Seconds(100)));
  EXPECT_FALSE(watch.stalled(true, 0, Seconds(100)));
  EXPECT_FALSE(watch.stalled(true, 5, Seconds(109)));
  EXPECT_TRUE(watch.stalled(true, 5, Seconds(110)));
  EXPECT_FALSE(watch.stalled(false, 5, Seconds(111)));
  EXPECT_FALSE(watch.stalled(true, 5, Seconds(112)));
  ProgressWatch never(Seconds(0), 1000);
  EXPECT_FALSE(never.stalled(true, 0, Seconds(0)));
  EXPECT_FALSE(never.stalled(true, 0, Seconds(1e9)));
}

TEST(LogThrottle, OneLineAtOnceThenCounts) {
  LogThrottle throttle(Seconds(10));
  EXPECT_EQ(throttle.line("k", "one", Seconds(0)), "one");
  for (int i = 0; i < 7; ++i) EXPECT_FALSE(throttle.line("k", "more", Seconds(1)));
  EXPECT_EQ(throttle.line("other", "two", Seconds(1)), "two");
  EXPECT_TRUE(throttle.overdue(Seconds(9)).empty());
  EXPECT_EQ(throttle.overdue(Seconds(10)), std::vector<std::string>{"more (and 6 like it before)"});
  EXPECT_TRUE(throttle.overdue(Seconds(20)).empty());
  EXPECT_EQ(throttle.line("k", "anew", Seconds(21)), "anew");
  EXPECT_FALSE(throttle.line("k", "x", Seconds(22)));
  EXPECT_EQ(throttle.line("k", "y", Seconds(31)), "y (and 1 like it before)");
}

}  // namespace
