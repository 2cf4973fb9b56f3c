// Observations of networks and devices that do not exist, with the shape of real ones.
#pragma once

#include <cleave/table/observations.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cleave::test {

/// Random numbers that are the same with every standard library.
class ObservationDice {
 public:
  explicit ObservationDice(std::uint64_t seed) : engine_(seed) {}
  double uniform() { return static_cast<double>(engine_() >> 11) * 0x1p-53; }
  double between(double low, double high) { return low + (high - low) * uniform(); }
  /// exp of a normal variable of this deviation (Box and Muller).
  double log_normal(double deviation) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return std::exp(deviation * radius * std::cos(2 * std::numbers::pi * uniform()));
  }
  std::size_t below(std::size_t n) { return static_cast<std::size_t>(engine_() % n); }

 private:
  std::mt19937_64 engine_;
};

/// What a family of spaces has. A request runs the layers before `cut` on an edge device (processor
/// frequency, accelerator none/std/max), sends what crosses there, and runs the rest in a cloud
/// (with or without a GPU).
///
/// - A cliff: the accelerator is several times as fast for the first layers, but holds only so many
///   of them; what is beyond streams over a slow bus, and some layers it cannot run at all.
/// - Gaps: with everything on the edge there is no GPU setting, with everything in the cloud no
///   accelerator; some combinations were lost.
/// - Best cuts in mid-network: what crosses is large at first and narrowest at bottlenecks.
/// - A disconnected front: edge, split and cloud configurations lie in different regions.
/// - Noise: between runs of one configuration, and a fixed error of each configuration besides.
///
/// The knobs are those of DynaSplit (May et al. 2024, arXiv 2410.23881): a split layer (22 of
/// VGG16, 19 of ViT), a clock in steps of 200 MHz from 600, an edge accelerator that is off, at its
/// usual or at its greatest clock, and a cloud GPU that is used or not; codecs are this project's.
/// A space spans about what was published for theirs, latencies 55 and 87 times apart and means
/// from 2.4 J all on the edge to 69 J all in the cloud: here latencies are 20 to 70 times apart and
/// energies 8 to 60. The whole cloud node is counted, hence hundreds of watts; a node without a GPU
/// takes several times as long at a third of the power, so it is seldom better.
struct SyntheticSpace {
  std::string_view name;
  std::size_t cuts = 23;
  std::size_t frequencies = 7;
  std::size_t accelerators = 3;  ///< 1: none
  std::size_t codecs = 1;        ///< 1: raw
  double link = 12e6;            ///< bytes a second
  double bulk = 1.5e6;           ///< bytes of the first layers' outputs
  double run_noise = 0.01, fixed_noise = 0.002;
  std::size_t runs = 3;  ///< on average
  double lost = 0.02;    ///< share of configurations that were not measured
  /// Ranges that each seed draws from: how many times as fast as the edge's processor at its top
  /// clock, and what share of the work the accelerator holds.
  std::array<double, 2> accelerator_speed = {6, 12}, gpu_speed = {30, 60}, cloud_speed = {4, 7};
  std::array<double, 2> capacity = {0.5, 0.9};
  double gpu_watts = 700, cloud_watts = 250;
  /// No search was tuned on it.
  bool held_out = false;
};

inline constexpr std::array synthetic_spaces = {
    SyntheticSpace{.name = "accelerator"},
    SyntheticSpace{.name = "small", .cuts = 12, .frequencies = 5, .runs = 5},
    SyntheticSpace{.name = "slow-link", .cuts = 24, .link = 2.5e6},
    SyntheticSpace{.name = "codecs",
                   .cuts = 16,
                   .frequencies = 6,
                   .accelerators = 1,
                   .codecs = 4,
                   .link = 4e6},
    // Edge, cloud and GPU differ less, so that the front is long and flat, with a point of it at
    // nearly every cut; a corner tells little of it, and noise decides which of two clocks is on
    // it.
    SyntheticSpace{.name = "hard",
                   .cuts = 12,
                   .frequencies = 5,
                   .run_noise = 0.015,
                   .fixed_noise = 0.005,
                   .runs = 5,
                   .accelerator_speed = {5, 10},
                   .gpu_speed = {15, 30},
                   .capacity = {0.35, 0.7},
                   .gpu_watts = 450,
                   .cloud_watts = 150},
    SyntheticSpace{.name = "noisy",
                   .cuts = 18,
                   .frequencies = 6,
                   .run_noise = 0.05,
                   .fixed_noise = 0.02,
                   .runs = 6,
                   .held_out = true},
    SyntheticSpace{.name = "large",
                   .cuts = 30,
                   .frequencies = 8,
                   .codecs = 3,
                   .accelerator_speed = {5, 15},
                   .gpu_speed = {25, 80},
                   .gpu_watts = 600,
                   .held_out = true},
    SyntheticSpace{.name = "wide-link",
                   .cuts = 20,
                   .link = 60e6,
                   .lost = 0.08,
                   .accelerator_speed = {4, 8},
                   .capacity = {0.3, 0.6},
                   .cloud_watts = 350,
                   .held_out = true},
};

/// One space of a family; each seed has another network. Equal arguments give equal observations.
inline table::Observations synthetic_observations(const SyntheticSpace& family,
                                                  std::uint64_t seed) {
  ObservationDice dice(seed);
  const std::size_t layers = family.cuts - 1;
  std::vector<double> work(layers), crossing(family.cuts);
  for (double& w : work) w = dice.between(0.3, 1.7) / static_cast<double>(layers);
  crossing[0] = 0.4 * family.bulk;  // the input
  // What crosses shrinks in stages, as pooling does it, with a bottleneck here and there.
  double stage = family.bulk;
  for (std::size_t c = 1; c < family.cuts; ++c) {
    if (dice.uniform() < 5.0 / static_cast<double>(layers))
      stage *= dice.between(0.3, 0.6);
    crossing[c] = stage * dice.log_normal(0.1) * (dice.uniform() < 0.1 ? 0.3 : 1);
  }
  const auto between = [&](const std::array<double, 2>& range) {
    return dice.between(range[0], range[1]);
  };
  const double capacity = between(family.capacity);  // of the work
  const double accelerated = between(family.accelerator_speed);
  const double edge_seconds = dice.between(1.0, 3.0);  // of the whole network at the top clock
  const double gpu_seconds = edge_seconds / between(family.gpu_speed);
  const double cloud_seconds = edge_seconds / between(family.cloud_speed);
  std::vector<bool> unfit(layers);
  for (std::size_t l = 0; l < layers; ++l) unfit[l] = dice.uniform() < 0.1;

  table::Observations out;
  out.name = std::string(family.name);
  const auto knob = [&](std::string name, std::vector<core::Level> levels, bool words) {
    core::Knob made;
    made.name = std::move(name);
    made.levels = std::move(levels);
    made.categorical = words;
    out.knobs.push_back(std::move(made));
  };
  std::vector<core::Level> cuts, clocks;
  for (std::size_t c = 0; c < family.cuts; ++c)
    cuts.push_back({std::to_string(c), static_cast<double>(c)});
  for (std::size_t f = 0; f < family.frequencies; ++f)
    clocks.push_back({std::to_string(600 + 200 * f), static_cast<double>(600 + 200 * f)});
  knob("cut", cuts, false);
  knob("cpu_mhz", clocks, false);
  const std::array<const char*, 3> accelerators = {"off", "std", "max"};
  const std::array<const char*, 4> codecs = {"raw", "fp16", "int8", "int4"};
  const std::array<double, 4> packed = {1, 0.5, 0.25, 0.13};
  const std::array<double, 4> coding = {0, 4e-9, 8e-9, 14e-9};  // seconds a byte, at the top clock
  const auto words = [](auto names, std::size_t count) {
    std::vector<core::Level> levels;
    for (std::size_t i = 0; i < count; ++i) levels.push_back({names[i], static_cast<double>(i)});
    return levels;
  };
  knob("accelerator", words(accelerators, family.accelerators), true);
  knob("codec", words(codecs, family.codecs), true);
  knob("gpu", words(std::array<const char*, 2>{"no", "yes"}, 2), true);

  const double top = clocks.back().value;
  for (std::size_t cut = 0; cut < family.cuts; ++cut)
    for (std::size_t f = 0; f < family.frequencies; ++f)
      for (std::size_t a = 0; a < family.accelerators; ++a)
        for (std::size_t codec = 0; codec < family.codecs; ++codec)
          for (std::size_t gpu = 0; gpu < 2; ++gpu) {
            const bool all_edge = cut == layers;
            const bool all_cloud = cut == 0;
            if ((all_edge && (gpu == 1 || codec > 0)) || (all_cloud && (a > 0 || codec > 0)) ||
                dice.uniform() < family.lost)
              continue;
            const double clock = clocks[f].value / top;
            const double accelerator = a == 0 ? 0 : accelerated * (a == 1 ? 1 : 1.45);
            double head = 0, held = 0, tail = 0, streamed = 0;
            for (std::size_t l = 0; l < layers; ++l) {
              if (l >= cut) {
                tail += work[l];
                continue;
              }
              held += work[l];
              if (a == 0 || unfit[l])
                head += work[l] * edge_seconds / clock;
              else if (held <= capacity)
                head += work[l] * edge_seconds / accelerator;
              else
                streamed += work[l] * edge_seconds * 0.9;
            }
            head += streamed;
            const double bytes = all_edge ? 0 : crossing[cut];
            const double encode = bytes * coding[codec] / clock;
            const double transfer = bytes * packed[codec] / family.link;
            const double cloud = (all_edge ? 0 : 0.03) +
                                 tail * (gpu == 1 ? gpu_seconds : cloud_seconds) +
                                 bytes * coding[codec] / 5;
            const double idle = 2.2 + (a == 0 ? 0 : a == 1 ? 0.8 : 1.3);
            const double busy = idle + 3.2 * std::pow(clock, 2.2) + (a == 0 ? 0 : a == 1 ? 1.2 : 2);
            const double power = all_edge ? 0 : gpu == 1 ? family.gpu_watts : family.cloud_watts;
            const double fixed_latency = dice.log_normal(family.fixed_noise);
            const double fixed_energy = dice.log_normal(family.fixed_noise);
            const double network = all_edge ? 0 : 0.012 + transfer;
            table::ObservedConfiguration made;
            made.levels = {static_cast<core::LevelIndex>(cut), static_cast<core::LevelIndex>(f),
                           static_cast<core::LevelIndex>(a), static_cast<core::LevelIndex>(codec),
                           static_cast<core::LevelIndex>(gpu)};
            const std::size_t runs = 1 + dice.below(2 * family.runs - 1);
            for (std::size_t r = 0; r < runs; ++r) {
              const double slow = dice.log_normal(family.run_noise);
              const double latency =
                  fixed_latency * (slow * (head + encode + cloud) +
                                   network * dice.log_normal(2 * family.run_noise)) +
                  0.004;
              const double energy =
                  fixed_energy * slow *
                  (busy * (head + encode) + idle * (network + cloud) + power * cloud) *
                  dice.log_normal(family.run_noise / 2);
              // Microseconds and micro-joules, as a CSV would have them.
              made.runs.push_back({.latency = core::milliseconds(std::round(latency * 1e6) / 1e3),
                                   .energy = core::Joules(std::round(energy * 1e6) / 1e6)});
            }
            out.configurations.push_back(std::move(made));
          }
  return out;
}

}  // namespace cleave::test
