// From a profile and a configuration to latency and energy. The only place where parts are added.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/profile.hpp>

#include <array>
#include <cstddef>
#include <vector>

namespace cleave::inline v0::table {

/// The link as it is now.
struct LinkState {
  core::Seconds round_trip;
  core::BytesPerSecond up, down;
  friend bool operator==(const LinkState&, const LinkState&) = default;
};

/// What a configuration costs before link and queue are known: everything compose() needs, so the
/// scheduler can re-compose for the link of the moment without the profile.
struct Ingredients {
  bool uses_cloud = false;
  core::Seconds edge_compute, cloud_compute;
  core::Seconds encode_first, encode_rest;  ///< before the first chunk is sent, and the rest
  core::Seconds decode_rest, decode_last;   ///< all but the last chunk, and that
  core::Seconds overhead;                   ///< per request, see LinkProfile::overhead
  core::Bytes up, down;                     ///< on the wire
  double ramp_round_trips = 0;  ///< round trips that TCP's ramp adds to the transfer of `up`
  core::Watts edge_busy, edge_idle;
  /// While the cloud works on the request: what that adds to its processor's idle power, and the
  /// whole machine's.
  core::Watts cloud_device, cloud_machine;
  core::JoulesPerByte transmit, receive;
  core::Origin origin = core::Origin::modelled;  ///< measured only if every host's power was
  double spread = 0;  ///< relative standard deviation of the latency, from the profile's spreads
  Accuracy accuracy;
  friend bool operator==(const Ingredients&, const Ingredients&) = default;
};

struct LatencyParts {
  core::Seconds edge_compute, encode, transfer, decode, round_trip, queue, cloud_compute, reply,
      overhead;
  [[nodiscard]] constexpr core::Seconds total() const {
    return edge_compute + encode + transfer + decode + round_trip + queue + cloud_compute + reply +
           overhead;
  }
  friend bool operator==(const LatencyParts&, const LatencyParts&) = default;
};

struct EnergyParts {
  core::Joules edge_compute;  ///< head and codec at busy power
  core::Joules edge_wait;     ///< the rest of the request's time at idle power
  core::Joules radio;
  core::Joules cloud_device;   ///< counted in edge_cloud_device
  core::Joules cloud_machine;  ///< counted in edge_cloud_machine, instead of cloud_device
  core::Origin origin = core::Origin::modelled;
  [[nodiscard]] constexpr core::Joules total(core::Boundary boundary) const {
    const core::Joules edge = edge_compute + edge_wait + radio;
    switch (boundary) {
      case core::Boundary::edge:
        return edge;
      case core::Boundary::edge_cloud_device:
        return edge + cloud_device;
      case core::Boundary::edge_cloud_machine:
        return edge + cloud_machine;
    }
    return edge;
  }
  friend bool operator==(const EnergyParts&, const EnergyParts&) = default;
};

struct Prediction {
  LatencyParts latency;
  EnergyParts energy;
};

/// Looks up and sums what the profile says of one configuration.
///
/// Compute is the sum of Timing::mean of the head's steps (edge) and of all others (cloud).
/// Of a codec's cost over CutProfile::raw bytes, the part of the first Profile::chunk bytes is paid
/// before anything is sent (encode_first) and after everything has arrived (decode_last).
/// The ramp comes from LinkProfile::sizes: (time - bytes/up) / round_trip of each sample, at least
/// 0, interpolated over log(bytes) (a slow-starting window doubles every round trip) and constant
/// outside the samples.
/// The spread takes a host's whole-pass relative spread for the part that it runs, codec included
/// (of a predicted setting with the uncertainty of the prediction, Setting::interval / 1.645),
/// since steps of one pass share their disturbances (quadrature over steps would promise far too
/// little); the two hosts and the link are independent and add in quadrature, over the latency on
/// the profile's own link.
/// For the all-edge cut the codec and the cloud's levels are not looked at, and the origin of the
/// cloud's power does not count. A cut's lossless accuracy that was not measured is that of any
/// other cut; if none was, 1 of 0 samples with basis none.
///
/// Codecs named "raw" or "raw+..." are lossless.
/// Errc::not_found: the cut, codec or setting is not in the profile; Errc::invalid_argument: not an
/// edge and a cloud stage up to the last cut, a codec whose accuracy was not measured on a cut
/// where it loses information, a profile that does not fit together (see validate()).
CLEAVE_EXPORT core::Result<Ingredients> price(const Profile& profile,
                                              const core::Configuration& configuration);

/// What price() looks up and adds up, kept: a price then takes some ten nanoseconds and no
/// allocation. Immutable, so any number of threads may ask. The profile must outlive it, unchanged.
class CLEAVE_EXPORT PriceList {
 public:
  /// Errc::invalid_argument: no cuts, or steps and codecs of some setting that do not fit.
  static core::Result<PriceList> make(const Profile& profile);

  /// Equal, bit for bit, to what price() gives for these of Profile::cuts, Profile::codecs and
  /// HostProfile::settings. Precondition: price() accepts the cut with the codec; with the last cut
  /// `codec` and `cloud` are not looked at.
  [[nodiscard]] Ingredients price(std::size_t cut, std::size_t codec, std::size_t edge,
                                  std::size_t cloud) const;

 private:
  explicit PriceList(const Profile& profile) : profile_(&profile) {}

  const Profile* profile_;
  std::vector<core::Seconds> heads_, tails_;   // setting by setting, a cut each
  std::vector<core::Seconds> exchanges_;       // a setting of the edge each
  std::array<std::vector<double>, 2> slower_;  ///< by host and setting
  std::vector<double> ramps_;                  // cut by cut, a codec each
  Accuracy lossless_;
};

/// Whether any setting that runs something there was predicted, not measured.
CLEAVE_EXPORT bool is_predicted(const Profile& profile, const core::Configuration& configuration);

/// Half of the width of the interval around the predicted latency that holds 90 % of measurements,
/// relative to it: what the profile's check of such configurations, at measured settings or at
/// predicted ones, found (PredictionError::interval); if it had too few, 1.645 times
/// Ingredients::spread, and at predicted ones the root of the sum of the squares of that and of
/// what the check found at measured ones, which predicted ones are not spared. Errors: those of
/// price().
CLEAVE_EXPORT core::Result<double> interval_of(const Profile& profile,
                                               const core::Configuration& configuration);

/// The link that the profile was measured on.
CLEAVE_EXPORT LinkState link_of(const Profile& profile);

/// Latency = edge compute + first chunk's encode + max(remaining encode, transfer, decode) + last
/// chunk's decode + round trip + queue + cloud compute + reply + overhead; all-edge: edge compute.
/// transfer = up/link.up + ramp_round_trips * round_trip; reply = down/link.down. Bytes over a rate
/// of 0 take infinitely long.
/// LatencyParts::encode/decode/transfer hold the shares of the overlapped middle that are on the
/// critical path (all of it goes to the longest), so the parts add up to the total.
/// Energy: busy power over edge compute and encode, idle power over the rest of the latency, radio
/// per byte, cloud power over decode and cloud compute (waiting in the queue is somebody else's
/// work). No allocation; safe to call from any thread.
CLEAVE_EXPORT Prediction compose(const Ingredients& ingredients, const LinkState& link,
                                 core::Seconds queue);

}  // namespace cleave::inline v0::table
