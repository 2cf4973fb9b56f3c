#include <cleave/transport/link_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace cleave::inline v0::transport {

using core::Bytes;
using core::BytesPerSecond;
using core::Seconds;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double first_window = 10 * 1448.0;  // RFC 6928
// Linux's least retransmission timeout; behind an idle time of one it starts slowly again.
constexpr Seconds least_timeout(0.2);
constexpr double half_weight = 32768;
constexpr int step_after = 3;
constexpr double least_probe = 16 << 10, most_probe = 256 << 10;
// Most of the time behind slow start may be round trips, and then a small error of theirs, or of
// when the first byte came, makes a large one of the rest: so much of the time is given away.
constexpr double certain = 0.9;
// How much a range pulls the estimate down to its lower end.
constexpr double weak = 0.25;

bool usable(double value) {
  return std::isfinite(value) && value > 0;
}

double median_of(std::span<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

BytesPerSecond bandwidth_behind_slow_start(Bytes bytes, Seconds took, Seconds round_trip) {
  // Behind k windows, each followed by a pause, the rest flows without one.
  double rest = bytes.count(), time = took.count(), window = first_window;
  while (time > 0) {
    const double rate = rest / time;
    if (rest <= window || rate * round_trip.count() <= window)
      return BytesPerSecond(rate);
    rest -= window;
    time -= round_trip.count();
    window *= 2;
  }
  return BytesPerSecond(infinity);
}

// The value v that minimises the sum of weight x |v - low|, with pulls beyond a range at full and
// inside it at a small part of the weight: where the slope of that sum changes its sign.
double LinkEstimator::Window::middle() const {
  struct Bend {
    double at, slope;
  };
  std::array<Bend, 2 * window> bends;
  std::size_t n = 0;
  double slope = 0;
  for (std::size_t i = 0; i < count_; ++i) {
    const Sample& s = samples_[i];
    const bool range = s.high > s.low;
    bends[n++] = {s.low, s.weight * (range ? 1 + weak : 2)};
    if (range && std::isfinite(s.high))
      bends[n++] = {s.high, s.weight * (1 - weak)};
    slope -= s.weight;
  }
  std::sort(bends.begin(), bends.begin() + static_cast<std::ptrdiff_t>(n),
            [](const Bend& a, const Bend& b) { return a.at < b.at; });
  const double level = 1e-9 * -slope;
  for (std::size_t i = 0; i < n; ++i) {
    slope += bends[i].slope;
    if (slope > level)
      return bends[i].at;
    if (slope >= -level)
      return i + 1 < n ? (bends[i].at + bends[i + 1].at) / 2 : bends[i].at;
  }
  return 0;  // not reached: behind the last bend the slope is above 0
}

double LinkEstimator::Window::least() const {
  double least = infinity;
  for (std::size_t i = 0; i < count_; ++i) least = std::min(least, samples_[i].low);
  return least;
}

// A robust standard deviation of the logarithms; of a few samples the least that can be assumed.
double LinkEstimator::Window::spread() const {
  const double middle = this->middle();
  std::array<double, window> deviations;
  for (std::size_t i = 0; i < count_; ++i)
    deviations[i] =
        std::abs(std::log(std::clamp(middle, samples_[i].low, samples_[i].high) / middle));
  return std::max(1.4826 * median_of(std::span(deviations).first(count_)),
                  0.5 / static_cast<double>(count_));
}

// -1 or 1 for a sample that is below or above what the window lets expect, else 0.
int LinkEstimator::Window::side(const Sample& sample) const {
  if (count_ == 0)
    return 0;
  const double allowed = std::exp(std::clamp(2.5 * spread(), 0.18, 0.5));
  return sample.low > middle() * allowed ? 1 : sample.high * allowed < middle() ? -1 : 0;
}

void LinkEstimator::Window::forget(std::size_t first) {
  std::move(samples_.begin() + static_cast<std::ptrdiff_t>(first),
            samples_.begin() + static_cast<std::ptrdiff_t>(count_), samples_.begin());
  count_ -= first;
}

// Whether the newest, all in doubt on one side, tell of one new value rather than of a bad moment.
bool LinkEstimator::Window::newest_agree() const {
  double low = infinity, high = 0;
  for (std::size_t i = count_ - step_after; i < count_; ++i) {
    const double value = side_ > 0 ? samples_[i].low : samples_[i].high;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  return high / low < 1.4;
}

void LinkEstimator::Window::add(const Sample& sample, Seconds oldest) {
  std::size_t stale = 0;
  while (stale < count_ && samples_[stale].at + oldest < sample.at) ++stale;
  forget(stale);
  const int side = this->side(sample);
  doubts_ = side == 0 ? 0 : side == side_ ? doubts_ + 1 : 1;
  side_ = side;
  if (count_ == window)
    forget(1);
  samples_[count_++] = sample;
  if (doubts_ >= step_after && count_ >= step_after && newest_agree()) {
    forget(count_ - step_after);
    doubts_ = side_ = 0;
  }
  // A range much wider than what is known says little, and does not make it newer.
  if (sample.high <= 4 * sample.low || sample.low * 1.5 > middle())
    told_at_ = sample.at;
}

double LinkEstimator::Window::confidence(Seconds now, Seconds half_life) const {
  double n = 0;
  for (std::size_t i = 0; i < count_; ++i) n += samples_[i].weight;
  if (n <= 0)
    return 0;
  const double half_width = 1.96 * 1.2533 * spread() / std::sqrt(n);
  const double age = std::max(0.0, (now - told_at_) / half_life);
  return std::exp2(-age) / (1 + std::pow(half_width / 0.5, 2)) / (1 + doubts_);
}

void LinkEstimator::seen(Seconds now, bool in_doubt) {
  latest_ = now;
  // What comes with a probe's reply comes all at once.
  if (probing_since_ && now > *probing_since_) {
    probing_since_.reset();
    answered_at_ = now;
  }
  if (in_doubt || now != answered_at_)
    interval_ = options_.first_probe;
}

void LinkEstimator::add(Way& way, Bytes bytes, Seconds took, Seconds now, bool at_least) {
  if (!usable(took.count()) || !usable(bytes.count()) || !(bytes >= options_.least_for_bandwidth))
    return;
  const BytesPerSecond rate = bytes / took;
  Sample sample{rate.count(), rate.count(), bytes.count() / (bytes.count() + half_weight), now};
  if (at_least) {
    sample.high = infinity;
  } else if (round_trip_.count() > 0) {
    const Seconds round_trip(round_trip_.least());
    const bool idle_before = now - took - way.busy_until > least_timeout + round_trip;
    // Slow start needs at least this long, whatever the bandwidth.
    double pauses = 0;
    for (double sent = first_window, next = 2 * first_window; sent < bytes.count();
         sent += next, next *= 2)
      ++pauses;
    const bool allowed = took >= round_trip * (0.7 * pauses);
    if (idle_before && !allowed)
      way.unramped = std::min(way.unramped + 1, 8);
    else if (idle_before && way.unramped > 0)
      --way.unramped;
    else if (idle_before) {
      // The first window may have come with the first read, and the time for what comes so is added
      // in proportion to the rest's (RateOfArrival).
      const double seen = 1 - std::min(0.5, first_window / bytes.count());
      sample.high =
          std::max(sample.low,
                   bandwidth_behind_slow_start(bytes, took * (certain * seen), round_trip).count());
    }
  }
  way.busy_until = std::max(way.busy_until, now);
  way.window.add(sample, options_.oldest);
  seen(now, way.window.in_doubt());
}

void LinkEstimator::add_upload(Bytes bytes, Seconds took, Seconds now) {
  add(up_, bytes, took, now, false);
}

void LinkEstimator::add_upload_at_least(Bytes bytes, Seconds took, Seconds now) {
  add(up_, bytes, took, now, true);
}

void LinkEstimator::add_download(Bytes bytes, Seconds took, Seconds now) {
  add(down_, bytes, took, now, false);
}

void LinkEstimator::add_round_trip(Seconds round_trip, Seconds now) {
  if (!usable(round_trip.count()))
    return;
  round_trip_.add({round_trip.count(), round_trip.count(), 1, now}, options_.oldest);
  seen(now, round_trip_.in_doubt());
}

std::optional<LinkEstimate> LinkEstimator::estimate(Seconds now) const {
  if (round_trip_.count() == 0 || up_.window.count() + down_.window.count() == 0)
    return std::nullopt;
  LinkEstimate estimate;
  estimate.round_trip = Seconds(round_trip_.middle());
  estimate.least_round_trip = Seconds(round_trip_.least());
  estimate.round_trip_age = now - round_trip_.told_at();
  estimate.round_trip_confidence = round_trip_.confidence(now, options_.half_life);
  estimate.up_measured = up_.window.count() > 0;
  estimate.down_measured = down_.window.count() > 0;
  const auto take = [&](bool measured, const Window& own, const Window& other, BytesPerSecond& rate,
                        Seconds& age, double& confidence) {
    const Window& from = measured ? own : other;
    rate = BytesPerSecond(from.middle());
    age = now - from.told_at();
    confidence = from.confidence(now, options_.half_life) * (measured ? 1 : 0.5);
  };
  take(estimate.up_measured, up_.window, down_.window, estimate.up, estimate.up_age,
       estimate.up_confidence);
  take(estimate.down_measured, down_.window, up_.window, estimate.down, estimate.down_age,
       estimate.down_confidence);
  estimate.measured_at = latest_;
  estimate.samples = up_.window.count() + down_.window.count() + round_trip_.count();
  return estimate;
}

std::size_t LinkEstimator::probe_bytes(const Way& way, Seconds now) const {
  const Window& seen = way.window;
  if (seen.count() > 0 && !seen.in_doubt() && now - seen.told_at() < interval_)
    return 0;
  const double wanted = seen.count() > 0 ? seen.middle() * options_.probe_time.count() : 0;
  return static_cast<std::size_t>(std::clamp(wanted, least_probe, most_probe));
}

std::optional<LinkProbe> LinkEstimator::wants_probe(Seconds now) const {
  if (probing_since_ && now - *probing_since_ < Seconds(1) + interval_ * 2.0)
    return std::nullopt;
  const bool known = round_trip_.count() > 0 && up_.window.count() + down_.window.count() > 0;
  const bool in_doubt = round_trip_.in_doubt() || up_.window.in_doubt() || down_.window.in_doubt();
  if (known && !in_doubt && now - latest_ < interval_)
    return std::nullopt;
  return LinkProbe{probe_bytes(up_, now), probe_bytes(down_, now)};
}

void LinkEstimator::probe_sent(Seconds now) {
  probing_since_ = now;
  interval_ = std::min(interval_ * 2.0, options_.last_probe);
}

}  // namespace cleave::inline v0::transport
