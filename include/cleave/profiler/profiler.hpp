// From a model, this machine, a cloud and a link to a Profile.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/clock.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/device/arbiter.hpp>
#include <cleave/exec/remote.hpp>
#include <cleave/profiler/host.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::profiler {

/// Inputs with labels, for accuracy; label -1 means unknown.
struct Sample {
  core::Values inputs;
  std::int32_t label = -1;
};

struct ProfileOptions {
  std::string model_name;
  /// `codecs`, `progress`, `stop`, `clock`, `exchange` and `time_limit` are taken from here below.
  HostOptions edge;
  std::vector<std::string> codecs{"raw", "fp16", "int8", "q4", "int4", "int2"};
  /// Joules per byte of the edge's radio at the link's measured rates; may be empty (wired).
  std::function<core::JoulesPerByte(core::BytesPerSecond)> transmit, receive;
  /// For the accuracy of each codec at each useful cut. May be empty: then only lossless codecs
  /// can be used. Samples without a label count agreement with the model without a codec.
  std::span<const Sample> samples;
  /// Configurations measured to tell how good the predictions are; and to fit the overhead of a
  /// request, which takes others.
  int held_out = 30;
  int overhead_fit = 12;
  int repeats = 5;  ///< requests per configuration there
  /// The check takes no longer, once ten configurations are measured; the fit a third of it.
  core::Seconds check_time = core::Seconds(45);
  /// What all of it may take, what earlier runs took included: then fewer labelled inputs, passes
  /// and checked configurations, as many as there is time for. What cannot be left out (one pass of
  /// each kind at each setting in each of four rounds, say) is measured though it takes longer. 0:
  /// no such bound.
  core::Seconds time_limit;
  /// Where what was measured is kept until all of it is: if the measurement ends early, for
  /// whatever reason, a later one goes on from there with `resume`. No more is lost than the
  /// stretch of passes, the configuration or the phase of some seconds at hand. It stays when the
  /// profile is whole, for the caller to remove once that is saved. Empty: nowhere.
  std::filesystem::path partial;
  bool resume = false;
  /// Keep also the cuts that no setting, bandwidth, codec or weight of energy prefers.
  bool every_cut = false;
  std::uint64_t seed = 1;
  const core::Clock* clock = nullptr;
  std::function<void(double fraction, std::string_view phase)> progress;
  std::stop_token stop;
};

/// Measures, in this order: the cloud's half (the cloud times itself, three times: now, before and
/// after the edge; of each setting the middle one counts), bytes and accuracy per cut and codec,
/// the edge's half, the link, and held-out configurations. Accuracy is measured at the cuts with
/// fewer bytes than all cuts before them and where the bytes reach a minimum; at the others only
/// lossless codecs can be used. With the times known, cuts across the branches of the network are
/// searched for (see optimal_cuts()) and measured like the others, codecs included. Last, but with
/// every_cut, cuts are left out: what stays is the first and the last, the cheapest at any of the
/// settings, floors on accuracy and weights of latency against energy, on a link up to eight times
/// slower or faster, and for each other cut one that is at most 5 % slower and needs at most 5 %
/// more energy, there too. Errors: unavailable, refused, mismatch (the cloud), those of the model
/// and the knobs, cancelled; with `resume` not_found, corrupt, or mismatch: `partial` was begun
/// with another model, machine, cloud or other options; in_use: another profile is being measured
/// into `partial`; io (it cannot be written).
CLEAVE_EXPORT core::Result<table::Profile> profile(std::shared_ptr<const core::Executable> model,
                                                   const core::Values& example,
                                                   device::Arbiter& edge_knobs, exec::Remote& cloud,
                                                   const ProfileOptions& options);

}  // namespace cleave::inline v0::profiler
