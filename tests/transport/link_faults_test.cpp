#include <cleave/transport/link_faults.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

namespace {

using namespace cleave;
using core::Seconds;
using transport::ConnectionFaults;
using transport::FaultTimeline;
using transport::LinkDirection;
using transport::LinkFaults;
using transport::LinkState;

struct Change {
  double at;
  LinkState state;
  bool operator==(const Change&) const = default;
};

// Every change up to `end`, by jumping from one possible change to the next.
std::vector<Change> changes_of(const LinkFaults& faults, std::uint64_t seed, double end) {
  FaultTimeline timeline(faults, seed);
  std::vector<Change> changes;
  for (double now = 0; now < end; now = timeline.next_change().count()) {
    const LinkState state = timeline.state(Seconds(now));
    if (changes.empty() || changes.back().state != state)
      changes.push_back({now, state});
  }
  return changes;
}

TEST(FaultTimeline, FollowsTheScheduleAndTheWorseOfTwoHolds) {
  LinkFaults faults;
  faults.scheduled_stalls = {{Seconds(1), Seconds(2)}, {Seconds(5), Seconds(4)}};
  faults.scheduled_outages = {{Seconds(6), Seconds(1)}, {Seconds(2.5), Seconds(0.25)}};
  using enum LinkState;
  EXPECT_EQ(changes_of(faults, 1, 100), (std::vector<Change>{{0, moving},
                                                             {1, stalled},
                                                             {2.5, out},
                                                             {2.75, stalled},
                                                             {3, moving},
                                                             {5, stalled},
                                                             {6, out},
                                                             {7, stalled},
                                                             {9, moving}}));
  FaultTimeline done(faults, 1);
  done.state(Seconds(9));
  EXPECT_TRUE(std::isinf(done.next_change().count()));
}

// The share of time is that of an alternating renewal process, and so is the number of events; the
// lengths are exponential: their mean is their standard deviation.
TEST(FaultTimeline, RandomEventsAreOftenAndLongAsAsked) {
  LinkFaults faults;
  faults.stalls = {0.5, Seconds(0.4)};
  constexpr double span = 50000;
  const auto changes = changes_of(faults, 7, span);
  std::vector<double> lengths;
  for (std::size_t i = 0; i + 1 < changes.size(); ++i)
    if (changes[i].state == LinkState::stalled)
      lengths.push_back(changes[i + 1].at - changes[i].at);
  const double n = static_cast<double>(lengths.size());
  const double sum = std::accumulate(lengths.begin(), lengths.end(), 0.0);
  double squares = 0;
  for (const double length : lengths) squares += (length - sum / n) * (length - sum / n);
  // 1 / (2 s + 0.4 s) events a second: 20833, with a standard deviation below 144.
  EXPECT_NEAR(n, span / 2.4, 5 * 144);
  EXPECT_NEAR(sum / n, 0.4, 5 * 0.4 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.4, 0.02);
  EXPECT_NEAR(sum / span, 0.4 / 2.4, 0.01);
}

TEST(FaultTimeline, TheSeedDecidesAndLookingOftenChangesNothing) {
  LinkFaults faults;
  faults.stalls = {2, Seconds(0.1)};
  faults.outages = {0.2, Seconds(1)};
  const auto changes = changes_of(faults, 3, 200);
  EXPECT_EQ(changes, changes_of(faults, 3, 200));
  EXPECT_NE(changes, changes_of(faults, 4, 200));
  FaultTimeline often(faults, 3);
  std::size_t at = 0;
  for (int i = 0; i < 200000; ++i) {
    const double now = i * 1e-3;
    while (at + 1 < changes.size() && changes[at + 1].at <= now) ++at;
    ASSERT_EQ(often.state(Seconds(now)), changes[at].state) << now;
  }
  // The outages are the same whether there are stalls or not.
  const auto outages_of = [&] {
    std::vector<double> begins;
    for (const Change& change : changes_of(faults, 3, 200))
      if (change.state == LinkState::out)
        begins.push_back(change.at);
    return begins;
  };
  const auto with = outages_of();
  faults.stalls = {};
  EXPECT_EQ(with, outages_of());
  EXPECT_GT(with.size(), 10U);
}

std::vector<std::byte> zeros(std::size_t size) {
  return std::vector<std::byte>(size);
}

TEST(ConnectionFaults, WithoutFaultsEveryByteGoesOnAsItCame) {
  ConnectionFaults faults(LinkFaults{}, 1, 0, Seconds(0));
  auto bytes = zeros(100000);
  for (const LinkDirection direction : {LinkDirection::up, LinkDirection::down}) {
    const auto fate = faults.take(direction, bytes, Seconds(1));
    EXPECT_EQ(fate.forwarded, bytes.size());
    EXPECT_EQ(fate.flipped, 0U);
    EXPECT_FALSE(fate.cut);
  }
  EXPECT_EQ(bytes, zeros(100000));
}

TEST(ConnectionFaults, FlipsSingleBitsAsOftenAsAskedAndEachAsLikely) {
  LinkFaults wanted;
  wanted.corruption_up = 1e-4;
  wanted.corruption_down = 0.02;
  ConnectionFaults faults(wanted, 11, 0, Seconds(0));
  std::array<double, 8> bits{};
  for (const auto& [direction, size, p] : {std::tuple(LinkDirection::up, 20'000'000U, 1e-4),
                                           std::tuple(LinkDirection::down, 1'000'000U, 0.02)}) {
    auto bytes = zeros(size);
    const auto fate = faults.take(direction, bytes, Seconds(0));
    double hit = 0;
    for (const std::byte byte : bytes)
      if (byte != std::byte{0}) {
        ++hit;
        const auto value = std::to_integer<unsigned>(byte);
        ASSERT_EQ(std::popcount(value), 1);
        bits[static_cast<std::size_t>(std::countr_zero(value))] += 1;
      }
    EXPECT_EQ(fate.flipped, static_cast<std::size_t>(hit));
    EXPECT_NEAR(hit, size * p, 5 * std::sqrt(size * p * (1 - p)));
  }
  const double all = std::accumulate(bits.begin(), bits.end(), 0.0);
  double chi_squared = 0;
  for (const double count : bits) chi_squared += std::pow(count - all / 8, 2) / (all / 8);
  EXPECT_LT(chi_squared, 24.3);  // 7 degrees of freedom, 0.1 %
}

TEST(ConnectionFaults, HowTheStreamIsDividedMakesNoDifference) {
  LinkFaults wanted;
  wanted.corruption_up = wanted.corruption_down = 0.01;
  wanted.cut_after = core::Bytes(300000);
  std::mt19937 sizes(5);
  for (std::uint64_t number = 0; number < 20; ++number) {
    ConnectionFaults whole(wanted, 2, number, Seconds(0)), parts(wanted, 2, number, Seconds(0));
    auto a = zeros(200000), b = zeros(200000);
    const auto fate = whole.take(LinkDirection::up, a, Seconds(0));
    std::size_t at = 0;
    bool cut = false;
    while (at < b.size() && !cut) {
      const std::size_t size = std::min<std::size_t>(b.size() - at, sizes() % 3000);
      const auto part = parts.take(LinkDirection::up, std::span(b).subspan(at, size), Seconds(0));
      at += part.forwarded;
      cut = part.cut;
    }
    EXPECT_EQ(fate.cut, cut);
    EXPECT_EQ(fate.forwarded, at);
    EXPECT_EQ(a, b);
  }
}

TEST(ConnectionFaults, CutsAfterAnExponentialNumberOfBytesOfBothDirections) {
  LinkFaults wanted;
  wanted.cut_after = core::Bytes(50000);
  constexpr int connections = 4000;
  double sum = 0, below_median = 0;
  auto bytes = zeros(1000);
  for (int i = 0; i < connections; ++i) {
    ConnectionFaults faults(wanted, 9, static_cast<std::uint64_t>(i), Seconds(0));
    double total = 0;
    for (bool cut = false, up = true; !cut; up = !up) {
      const auto fate =
          faults.take(up ? LinkDirection::up : LinkDirection::down, bytes, Seconds(0));
      total += static_cast<double>(fate.forwarded);
      cut = fate.cut;
      ASSERT_TRUE(cut || fate.forwarded == bytes.size());
    }
    sum += total;
    below_median += total < 50000 * std::log(2) ? 1 : 0;
  }
  EXPECT_NEAR(sum / connections, 50000, 5 * 50000 / std::sqrt(connections));
  EXPECT_NEAR(below_median / connections, 0.5, 5 * 0.5 / std::sqrt(connections));
}

TEST(ConnectionFaults, SomeConnectionsBecomeHalfOpenOnEitherSideAfterAnExponentialTime) {
  LinkFaults wanted;
  wanted.half_open = 0.3;
  wanted.half_open_after = Seconds(2);
  constexpr int connections = 10000;
  int up = 0, down = 0, within_mean = 0;
  for (int i = 0; i < connections; ++i) {
    const ConnectionFaults faults(wanted, 4, static_cast<std::uint64_t>(i), Seconds(100));
    EXPECT_FALSE(faults.loses(LinkDirection::up, Seconds(100)));
    const bool u = faults.loses(LinkDirection::up, Seconds(1000));
    const bool d = faults.loses(LinkDirection::down, Seconds(1000));
    EXPECT_FALSE(u && d);
    up += u;
    down += d;
    within_mean += faults.loses(LinkDirection::up, Seconds(102)) ||
                   faults.loses(LinkDirection::down, Seconds(102));
  }
  const auto near = [&](int count, double p) {
    EXPECT_NEAR(count, connections * p, 5 * std::sqrt(connections * p * (1 - p)));
  };
  near(up, 0.15);
  near(down, 0.15);
  near(within_mean, 0.3 * (1 - std::exp(-1)));
}

TEST(ConnectionFaults, WhatIsLostVanishesFromThenOnWhateverFaultsAreSetLater) {
  ConnectionFaults faults(LinkFaults{}, 1, 0, Seconds(0));
  auto bytes = zeros(10);
  EXPECT_EQ(faults.take(LinkDirection::up, bytes, Seconds(1)).forwarded, 10U);
  faults.lose(LinkDirection::up);
  EXPECT_EQ(faults.take(LinkDirection::up, bytes, Seconds(1)).forwarded, 0U);
  EXPECT_EQ(faults.take(LinkDirection::down, bytes, Seconds(1)).forwarded, 10U);
  faults.set(LinkFaults{}, Seconds(2));
  EXPECT_TRUE(faults.loses(LinkDirection::up, Seconds(3)));
  EXPECT_FALSE(faults.loses(LinkDirection::down, Seconds(3)));
}

TEST(LinkFaults, ThoseThatCannotBeAreRefused) {
  EXPECT_TRUE(transport::check_faults({}));
  const auto refused = [](auto&& change) {
    LinkFaults faults;
    change(faults);
    const auto checked = transport::check_faults(faults);
    ASSERT_FALSE(checked);
    EXPECT_EQ(checked.error().code, core::Errc::invalid_argument);
  };
  const double nan = std::nan("");
  refused([](LinkFaults& f) { f.stalls = {1, Seconds(0)}; });
  refused([](LinkFaults& f) { f.outages = {-1, Seconds(1)}; });
  refused([](LinkFaults& f) { f.outages = {1e6, Seconds(1)}; });
  refused([&](LinkFaults& f) { f.stalls = {nan, Seconds(1)}; });
  refused([](LinkFaults& f) { f.scheduled_stalls = {{Seconds(-1), Seconds(1)}}; });
  refused([](LinkFaults& f) { f.scheduled_outages = {{Seconds(1), Seconds(0)}}; });
  refused([](LinkFaults& f) { f.half_open = 1.5; });
  refused([](LinkFaults& f) { f.half_open_after = Seconds(-1); });
  refused([&](LinkFaults& f) { f.corruption_up = nan; });
  refused([](LinkFaults& f) { f.corruption_down = -0.1; });
  refused([](LinkFaults& f) { f.cut_after = core::Bytes(-1); });
}

}  // namespace
