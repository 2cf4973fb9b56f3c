// What the link is like now, from what was seen of it: round trip and bandwidth both ways, how old
// that is and how far to trust it.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <array>
#include <cstddef>
#include <limits>
#include <optional>

namespace cleave::inline v0::transport {

struct LinkEstimate {
  core::Seconds round_trip;        ///< smoothed: the median of the window
  core::Seconds least_round_trip;  ///< the least of the window: without waiting in queues
  core::BytesPerSecond up, down;
  /// Whether that direction was seen itself; otherwise it is taken to be like the other one.
  bool up_measured = false, down_measured = false;
  core::Seconds measured_at;  ///< the latest sample, on the clock that the samples' `now` is of
  std::size_t samples = 0;    ///< in the windows now
  /// Since the latest sample that told something of it. Of a direction not seen: the other's.
  core::Seconds round_trip_age, up_age, down_age;
  /// 1: measured just now, often, and always alike; 0: unknown. See LinkEstimator.
  double round_trip_confidence = 0, up_confidence = 0, down_confidence = 0;
};

/// What a probe should carry: bytes each way, 0 where they would tell nothing new. A probe of no
/// bytes at all still tells the round trip.
struct LinkProbe {
  std::size_t up = 0, down = 0;
};

struct LinkEstimatorOptions {
  /// Smaller messages tell nothing about bandwidth.
  core::Bytes least_for_bandwidth = core::Bytes(8192);
  /// Confidence halves with each of these that pass without a sample.
  core::Seconds half_life = core::Seconds(10);
  /// Samples that are this much older than the newest say nothing about today's link.
  core::Seconds oldest = core::Seconds(60);
  /// An idle link is probed after `first_probe`; the time doubles, up to `last_probe`, with every
  /// probe that finds it as it was. Traffic, and a sample that disagrees, begin anew. With
  /// `last_probe` as short as `first_probe` an idle link's changes are noticed sooner, for up to
  /// probe_time / first_probe of its bandwidth.
  core::Seconds first_probe = core::Seconds(0.5), last_probe = core::Seconds(30);
  core::Seconds probe_time = core::Seconds(0.02);  ///< of the bandwidth, for 16 to 256 KiB
};

/// Bandwidths are to be measured at the receiver (Response::upload and download): a sender sees its
/// own buffers fill, not the link.
///
/// *The estimate* of each quantity is a weighted median of its last twelve samples, so that a few
/// outliers change little. Messages weigh bytes / (bytes + 32 KiB), since the shorter the transfer,
/// the more of its time is chance. What takes less than a few times the link's jitter tells little.
///
/// *Steps*: a sample is in doubt if it lies outside the estimate by more than 2.5 robust standard
/// deviations (at least 20 %, at most 65 %). Three in a row on the same side that agree with one
/// another are a step, and all samples before them are forgotten. After one in doubt wants_probe()
/// asks for more at once, so that a step is known after three samples even where requests are rare.
///
/// *Slow start*: on a connection that was idle TCP begins with ten segments and doubles each round
/// trip (RFC 6928, RFC 5681), so that a short transfer shows the round trip rather than the
/// bandwidth. The first transfer after an idle time of 0.2 s and a round trip (about the kernel's
/// timeout, after which it starts slowly again) is therefore taken for a range: at least bytes /
/// time, at most the bandwidth at which slow start would have taken that time less a tenth and less
/// the first window's share of the bytes (bandwidth_behind_slow_start). Inside the range it pulls
/// the estimate down with a quarter of its weight only. So longer transfers, and those that follow
/// one another, decide; where there are none, the estimate is near the fastest that was seen, which
/// is what the next transfer of that size will get. A transfer that was faster than slow start
/// allows is a sample like any other, and so are as many of the next, up to eight, that slow start
/// could explain: it is not at work there.
///
/// *Confidence*: 1 / (1 + (h / 0.5)^2), halved every half_life since the latest sample and divided
/// by one more than the number of samples in doubt now. h = 1.96 x 1.2533 x s / sqrt(n) is the half
/// width of the 95 % interval of a median of n normal samples with standard deviation s, relative
/// to it; s is 1.4826 x the median absolute deviation of the logarithms, at least 0.5 / n. Nine
/// that agree: 0.99; three: 0.82; one: 0.14. A direction that was not seen has half the other's.
///
/// Not thread-safe. No I/O and no clock: times are given.
class CLEAVE_EXPORT LinkEstimator {
 public:
  static constexpr std::size_t window = 12;

  LinkEstimator() : LinkEstimator(LinkEstimatorOptions{}) {}
  explicit LinkEstimator(const LinkEstimatorOptions& options) : options_(options) {}

  /// `bytes` took `took` to arrive at the far side. Samples that are not positive and finite are
  /// ignored here and below.
  void add_upload(core::Bytes bytes, core::Seconds took, core::Seconds now);
  /// The same of a message whose sender was perhaps slower than the link: the bandwidth is at least
  /// bytes / took.
  void add_upload_at_least(core::Bytes bytes, core::Seconds took, core::Seconds now);
  /// The same towards this side.
  void add_download(core::Bytes bytes, core::Seconds took, core::Seconds now);
  /// What a message and its answer took without the time that their bytes needed and without the
  /// far side's work.
  void add_round_trip(core::Seconds round_trip, core::Seconds now);

  /// Nothing until a round trip and a bandwidth were seen.
  [[nodiscard]] std::optional<LinkEstimate> estimate(core::Seconds now) const;
  /// As of the latest sample.
  [[nodiscard]] std::optional<LinkEstimate> estimate() const { return estimate(latest_); }

  /// What to send now only in order to learn about the link, if anything. To be asked while nothing
  /// else is under way, every 50 ms, say; a probe's results are added like those of any message.
  [[nodiscard]] std::optional<LinkProbe> wants_probe(core::Seconds now) const;
  /// A probe was sent. Until a sample comes, or a second and two probe intervals have passed, no
  /// other is wanted.
  void probe_sent(core::Seconds now);

  /// Forgets everything: another link, e.g. after a reconnect through another network.
  void reset() { *this = LinkEstimator(options_); }

 private:
  // The quantity lies between the two; equal for a sample like any other.
  struct Sample {
    double low = 0, high = 0, weight = 0;
    core::Seconds at;
  };
  class Window {
   public:
    void add(const Sample& sample, core::Seconds oldest);
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] double middle() const;
    [[nodiscard]] double least() const;
    [[nodiscard]] double confidence(core::Seconds now, core::Seconds half_life) const;
    [[nodiscard]] core::Seconds told_at() const { return told_at_; }
    [[nodiscard]] bool in_doubt() const { return doubts_ > 0; }

   private:
    [[nodiscard]] double spread() const;
    [[nodiscard]] int side(const Sample& sample) const;
    void forget(std::size_t first);
    [[nodiscard]] bool newest_agree() const;
    std::array<Sample, window> samples_;  // oldest first
    std::size_t count_ = 0;
    int doubts_ = 0, side_ = 0;  // samples in doubt in a row, and on which side
    core::Seconds told_at_;
  };
  struct Way {
    Window window;
    core::Seconds busy_until{-std::numeric_limits<double>::infinity()};
    int unramped = 0;  // how much speaks against slow start here, 0 to 8
  };
  void add(Way& way, core::Bytes bytes, core::Seconds took, core::Seconds now, bool at_least);
  void seen(core::Seconds now, bool in_doubt);
  [[nodiscard]] std::size_t probe_bytes(const Way& way, core::Seconds now) const;

  LinkEstimatorOptions options_;
  Way up_, down_;
  Window round_trip_;
  core::Seconds latest_;
  core::Seconds interval_ = options_.first_probe;
  std::optional<core::Seconds> probing_since_, answered_at_;
};

/// The bandwidth of a link on which `bytes` took `took` from the arrival of the first to that of
/// the last when TCP started slowly: windows of 10, 20, 40, ... segments of 1448 bytes, one a round
/// trip, until one fills the link. Infinite if slow start alone explains the time.
CLEAVE_EXPORT core::BytesPerSecond bandwidth_behind_slow_start(core::Bytes bytes,
                                                               core::Seconds took,
                                                               core::Seconds round_trip);

}  // namespace cleave::inline v0::transport
