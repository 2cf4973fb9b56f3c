#include "lib/transport/random.hpp"

#include <cleave/transport/link_faults.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace cleave::inline v0::transport {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double most_per_second = 1000;

bool is_time(Seconds time) {
  return std::isfinite(time.count()) && time.count() >= 0;
}
bool is_probability(double p) {
  return p >= 0 && p <= 1;
}

}  // namespace

Result<void> check_faults(const LinkFaults& faults) {
  for (const RandomEvents& events : {faults.stalls, faults.outages}) {
    if (!(events.per_second >= 0 && events.per_second <= most_per_second))
      return fail(Errc::invalid_argument, "a link's events must be 0 to 1000 a second");
    if (!is_time(events.mean) || (events.per_second > 0 && events.mean.count() == 0))
      return fail(Errc::invalid_argument, "a link's events must last longer than 0 s");
  }
  for (const auto* events : {&faults.scheduled_stalls, &faults.scheduled_outages})
    for (const ScheduledEvent& event : *events)
      if (!is_time(event.at) || !is_time(event.lasts) || event.lasts.count() == 0)
        return fail(
            Errc::invalid_argument,
            "a scheduled stall or outage must begin at 0 s or later and last longer than 0 s");
  if (!is_probability(faults.half_open) || !is_probability(faults.corruption_up) ||
      !is_probability(faults.corruption_down))
    return fail(Errc::invalid_argument, "a fault's probability must be between 0 and 1");
  if (!is_time(faults.half_open_after))
    return fail(Errc::invalid_argument, "the time until a connection is half-open is below 0 s");
  if (!std::isfinite(faults.cut_after.count()) || faults.cut_after.count() < 0)
    return fail(Errc::invalid_argument, "the bytes until a connection is cut are below 0");
  return {};
}

FaultTimeline::FaultTimeline(const LinkFaults& faults, std::uint64_t seed)
    : stalls_{faults.stalls, faults.scheduled_stalls, std::mt19937_64(seed_of(seed, 0))},
      outages_{faults.outages, faults.scheduled_outages, std::mt19937_64(seed_of(seed, 1))} {}

// Whether an event goes on; `next_change` becomes the next boundary if that is sooner.
bool FaultTimeline::Events::at(double now, double& next_change) {
  bool goes_on = false;
  const auto look = [&](double begin, double end) {
    goes_on = goes_on || (begin <= now && now < end);
    for (const double boundary : {begin, end})
      if (boundary > now)
        next_change = std::min(next_change, boundary);
  };
  if (random.per_second > 0) {
    while (until <= now) {
      from = until + exponential(source, 1 / random.per_second);
      until = from + exponential(source, random.mean.count());
    }
    look(from, until);
  }
  for (const ScheduledEvent& event : scheduled)
    look(event.at.count(), (event.at + event.lasts).count());
  return goes_on;
}

LinkState FaultTimeline::state(Seconds now) {
  double next = infinity;
  const bool stalled = stalls_.at(now.count(), next);
  const bool out = outages_.at(now.count(), next);
  next_change_ = Seconds(next);
  return out ? LinkState::out : stalled ? LinkState::stalled : LinkState::moving;
}

ConnectionFaults::ConnectionFaults(const LinkFaults& faults, std::uint64_t seed,
                                   std::uint64_t number, Seconds now)
    : source_(seed_of(seed_of(seed, number), 0)) {
  for (std::size_t i = 0; i < ways_.size(); ++i)
    ways_[i].source.seed(seed_of(seed_of(seed, number), i + 1));
  set(faults, now);
}

void ConnectionFaults::set(const LinkFaults& faults, Seconds now) {
  // All are drawn whatever is asked for, so that one fault's setting does not move another.
  const double chosen = uniform(source_), side = uniform(source_);
  const double after = exponential(source_, faults.half_open_after.count());
  const double bytes = exponential(source_, faults.cut_after.count());
  for (Way& each : ways_)
    if (each.lost_from > now)
      each.lost_from = Seconds(infinity);
  if (chosen < faults.half_open) {
    Way& hit = ways_[side < 0.5 ? 0 : 1];
    hit.lost_from = std::min(hit.lost_from, now + Seconds(after));
  }
  left_ = faults.cut_after.count() > 0 ? std::ceil(bytes) : infinity;
  way(LinkDirection::up).corruption = faults.corruption_up;
  way(LinkDirection::down).corruption = faults.corruption_down;
  for (Way& each : ways_) each.draw();
}

// The number of bytes before the next that is hit is geometric: floor(ln(1 - u) / ln(1 - p)).
void ConnectionFaults::Way::draw() {
  clean = corruption > 0 ? std::floor(std::log1p(-uniform(source)) / std::log1p(-corruption))
                         : infinity;
}

void ConnectionFaults::lose(LinkDirection direction) {
  way(direction).lost_from = Seconds(-infinity);
}

bool ConnectionFaults::loses(LinkDirection direction, Seconds now) const {
  return now >= way(direction).lost_from;
}

ConnectionFaults::Fate ConnectionFaults::take(LinkDirection direction, std::span<std::byte> bytes,
                                              Seconds now) {
  Fate fate;
  if (loses(direction, now))
    return fate;
  fate.cut = static_cast<double>(bytes.size()) >= left_;
  fate.forwarded = fate.cut ? static_cast<std::size_t>(left_) : bytes.size();
  left_ -= static_cast<double>(fate.forwarded);
  Way& through = way(direction);
  std::size_t at = 0;
  while (through.clean < static_cast<double>(fate.forwarded - at)) {
    at += static_cast<std::size_t>(through.clean);
    bytes[at] ^= std::byte{1} << (through.source() >> 61);
    ++fate.flipped;
    ++at;
    through.draw();
  }
  through.clean -= static_cast<double>(fate.forwarded - at);
  return fate;
}

}  // namespace cleave::inline v0::transport
