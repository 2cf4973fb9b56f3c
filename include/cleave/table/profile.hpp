// What was measured of one model on its hosts, codecs and link. Made by the profiler, read by the
// optimizer; plain data, so that neither needs the other.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/provenance.hpp>
#include <cleave/core/units.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::table {

/// Repeated measurements of one duration.
struct Timing {
  core::Seconds mean;    ///< scaled to the wall time of whole passes; what predictions add up
  core::Seconds median;  ///< of the raw samples
  core::Seconds spread;  ///< standard deviation of the samples
  std::uint32_t samples = 0;
  friend bool operator==(const Timing&, const Timing&) = default;
};

/// Encoding or decoding `raw` bytes takes fixed + per_byte * raw. Fields marked 5 are 0 in files of
/// format 4 and older, here and below.
struct CodecCost {
  core::Seconds encode_fixed, decode_fixed;
  double encode_per_byte = 0, decode_per_byte = 0;  ///< seconds per byte before encoding
  /// (5) Standard deviation of one encoding and decoding, relative to its mean.
  double spread = 0;
  friend bool operator==(const CodecCost&, const CodecCost&) = default;
};

/// One host at one level of each of its knobs.
struct Setting {
  std::vector<core::LevelIndex> levels;  ///< one per knob of the host
  std::vector<Timing> steps;             ///< one per step of the model
  Timing whole;                          ///< a whole pass, uninstrumented
  std::vector<CodecCost> codecs;         ///< one per Profile::codecs
  /// The host's power while it computes / while it waits for the peer, at these levels.
  core::Watts busy, idle;
  /// The whole machine's power while it computes (boundary edge_cloud_machine); for an edge device
  /// equal to `busy`.
  core::Watts machine_busy;
  core::Origin power_origin = core::Origin::modelled;
  /// Times and codec costs follow from those of other settings; Timing::samples are 0 then.
  bool predicted = false;
  /// Of a predicted setting: half of the width of the interval around a whole pass's mean that
  /// holds 90 % of measurements, relative to the mean.
  double interval = 0;
  /// (5) Whole passes that lie farther from the median than five times the median distance to it
  /// does (scaled as for a normal distribution: C. Leys et al., Detecting outliers: Do not use
  /// standard deviation around the mean, use absolute deviation around the median, 2013, with 5 for
  /// their 3). They are kept: requests meet the same disturbances.
  std::uint32_t outliers = 0;
  /// (5) A small request to the other host and back, at these levels. Nothing where it was not
  /// measured.
  Timing exchange;
  /// (6) What the part of a network that runs here takes longer within a request than in passes of
  /// its own: threads are woken, caches went to others' work. A median over real requests, 0 where
  /// it may be chance or was not measured.
  core::Seconds in_requests;
  friend bool operator==(const Setting&, const Setting&) = default;
};

/// What went on beside a measurement, over the time that it took. Negative: not readable there.
struct Conditions {
  double steal = -1;  ///< share of the CPUs' time that the hypervisor gave to others
  /// Share of the CPUs' time that other processes used, those aside that give way (nice above 0).
  double others = -1;
  double busiest = -1;      ///< the most that they used in one of the measurement's stretches
  double temperature = -1;  ///< of the hottest CPU sensor, at its highest, in degrees Celsius
  core::Seconds waited;     ///< for the machine to cool down
  core::Seconds took;
  friend bool operator==(const Conditions&, const Conditions&) = default;
};

/// How well settings that were not measured follow from those that were: each measured level that
/// has others on both sides, or each probe of a transfer, was left out, and predicted from the
/// rest.
struct LevelFit {
  std::uint32_t left_out = 0;  ///< settings predicted so; 0: all settings were measured
  double median_relative = 0;  ///< |predicted - measured| / measured, of a whole pass
  double worst_relative = 0;
  friend bool operator==(const LevelFit&, const LevelFit&) = default;
};

/// What a part of a network takes beyond its steps because it begins or ends at a cut: tensors are
/// brought into the layout of the link and back. For `raw` bytes of cut tensors fixed + per_byte *
/// raw, at the host's fastest setting; at slower ones as much longer as a whole pass is.
struct CrossingCost {
  core::Seconds fixed;
  double per_byte = 0;  ///< seconds
  friend bool operator==(const CrossingCost&, const CrossingCost&) = default;
};

/// A host's half of a profile.
struct HostProfile {
  std::string name;    ///< the machine, for people
  std::string board;   ///< the board description its watts come from; "" if metered
  std::string source;  ///< where those watts were published, or which meter
  std::vector<core::Knob> knobs;
  std::vector<Setting> settings;  ///< combinations of levels, measured or predicted
  LevelFit fit;                   ///< of the predicted ones
  /// Radio or network energy, per byte sent and received; 0 for a wired host.
  core::JoulesPerByte transmit, receive;
  /// Where the times come from; unknown in files of format 2 and older.
  core::Provenance made_on;
  Conditions conditions;  ///< (5)
  /// (6) Of a head's end on the edge, of a tail's beginning in the cloud.
  CrossingCost crossing;
  friend bool operator==(const HostProfile&, const HostProfile&) = default;
};

/// How often the model was right, or agreed with itself.
struct Accuracy {
  enum class Basis : std::uint8_t {
    none = 0,       ///< not measured: lossless codecs only may be used
    labels = 1,     ///< top-1 against labels
    agreement = 2,  ///< top-1 against the same model without a codec
  };
  double value = 0;  ///< 0..1
  std::uint32_t samples = 0;
  Basis basis = Basis::none;
  friend bool operator==(const Accuracy&, const Accuracy&) = default;
};

/// What is known of one codec at one cut.
struct CutCodec {
  core::Bytes encoded;  ///< on the wire, headers included
  Accuracy accuracy;
  friend bool operator==(const CutCodec&, const CutCodec&) = default;
};

struct CutProfile {
  core::CutId id;
  std::uint32_t position = 0;  ///< steps in the head
  std::string layer, op;
  core::Bytes raw;               ///< the cut tensors before encoding
  std::vector<CutCodec> codecs;  ///< one per Profile::codecs; empty for the all-edge cut
  /// The head's steps, if they are not the first `position` ones; else empty.
  std::vector<core::StepRange> head = {};
  /// (5) What the edge needs for the head and the cloud for the tail: weights, tensors and scratch
  /// memory, see core::memory_of(). 0: not known; nothing for the tail of the last cut.
  core::Bytes head_memory, tail_memory;
  /// (6) Of `raw`, what is the network's own input or shares memory with it (see
  /// core::inputs_across()), if that is known.
  bool input_known = false;
  core::Bytes input;
  friend bool operator==(const CutProfile&, const CutProfile&) = default;
};

/// One size of message over the link.
struct TransferSample {
  core::Bytes bytes;
  core::Seconds time;  ///< from the first byte sent to the last received, less half a round trip
  friend bool operator==(const TransferSample&, const TransferSample&) = default;
};

struct LinkProfile {
  core::Seconds round_trip;           ///< of a small request, median
  core::Seconds round_trip_spread;    ///< standard deviation
  core::BytesPerSecond up, down;      ///< of large messages, edge to cloud and back
  std::vector<TransferSample> sizes;  ///< edge to cloud, ascending: TCP ramps up
  core::Seconds overhead;             ///< per request beyond all parts (framing, hand-overs)
  friend bool operator==(const LinkProfile&, const LinkProfile&) = default;
};

/// Predicted against measured latency of configurations that no parameter was fitted to. Figures
/// after the fifth are 0 in files of format 3 and older.
struct PredictionError {
  std::uint32_t configurations = 0;
  double median_relative = 0;  ///< |predicted - measured| / measured
  double p90_relative = 0;
  double repeat_median_relative = 0;  ///< measuring the same again, for comparison
  double repeat_p90_relative = 0;
  double p95_relative = 0;
  double repeat_p95_relative = 0;
  double covered = 0;  ///< the share of measurements within the interval of their prediction
  /// Nine of ten errors are no larger, new ones too as long as they are drawn like these: the
  /// larger of two bounds. The ceil(0.9 (n + 1))-th smallest (V. Vovk, A. Gammerman and G. Shafer,
  /// Algorithmic Learning in a Random World, 2005: split conformal prediction), which holds nine of
  /// ten on average over such checks; and what holds them in nine of ten checks if errors are
  /// normal around zero (K. Krishnamoorthy and T. Mathew, Statistical Tolerance Regions, 2009). 0
  /// with fewer than nine.
  double interval = 0;
  friend bool operator==(const PredictionError&, const PredictionError&) = default;
};

struct Profile {
  core::Fingerprint model;
  std::string model_name;
  std::vector<std::string> codecs;
  /// By position, of equal ones the prefix first; the first is all-cloud, the last all-edge. Those
  /// that no setting, bandwidth, codec or objective prefers may have been left out.
  std::vector<CutProfile> cuts;
  std::array<HostProfile, 2> hosts;  ///< edge, cloud
  LinkProfile link;
  core::Bytes reply;                ///< the encoded outputs
  core::Bytes chunk;                ///< encode, transfer and decode overlap in chunks of this
                                    ///< many raw bytes; 0: one after the other
  PredictionError error;            ///< of configurations whose settings were measured
  PredictionError predicted_error;  ///< of those with a predicted setting
  friend bool operator==(const Profile&, const Profile&) = default;
};

}  // namespace cleave::inline v0::table
