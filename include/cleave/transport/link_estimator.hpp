// What the link is like now, from what was seen of it: round trip and bandwidth both ways.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/units.hpp>

#include <array>
#include <cstddef>
#include <optional>

namespace cleave::inline v0::transport {

struct LinkEstimate {
  core::Seconds round_trip;
  core::BytesPerSecond up, down;
  /// Whether that direction was seen itself; otherwise it is taken to be like the other one.
  bool up_measured = false, down_measured = false;
  core::Seconds measured_at;  ///< the latest sample, on the clock that the samples' `now` is of
  std::size_t samples = 0;    ///< in the windows now
};

/// The median of the last nine samples of each quantity: one outlier changes nothing, and a step is
/// followed after five samples. Bandwidths are to be measured at the receiver (Response::upload and
/// download): a sender sees its own buffers fill, not the link.
///
/// Not thread-safe. No I/O and no clock: times are given.
class CLEAVE_EXPORT LinkEstimator {
 public:
  static constexpr std::size_t window = 9;

  /// `bytes` took `took` to arrive at the far side. Samples that are not positive and finite are
  /// ignored here and below.
  void add_upload(core::Bytes bytes, core::Seconds took, core::Seconds now);
  /// The same towards this side.
  void add_download(core::Bytes bytes, core::Seconds took, core::Seconds now);
  /// What a message and its answer took without the time that their bytes needed and without the
  /// far side's work.
  void add_round_trip(core::Seconds round_trip, core::Seconds now);

  /// Nothing until a round trip and a bandwidth were seen.
  [[nodiscard]] std::optional<LinkEstimate> estimate() const;
  /// Forgets everything: another link, e.g. after a reconnect through another network.
  void reset();

 private:
  struct Window {
    std::array<double, window> values{};
    std::size_t count = 0, next = 0;
    void add(double value);
    [[nodiscard]] double median() const;
  };
  Window up_, down_, round_trip_;
  core::Seconds latest_;
};

}  // namespace cleave::inline v0::transport
