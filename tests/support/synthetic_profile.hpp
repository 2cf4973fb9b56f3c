// Profiles without a machine: a network whose layers shrink, an edge with two knobs, a cloud with
// one. Every figure follows from the options and the seed.
#pragma once

#include <cleave/core/hash.hpp>
#include <cleave/table/profile.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace cleave::test {

struct SyntheticOptions {
  std::uint64_t seed = 1;
  std::size_t steps = 12;  ///< cuts: one more
  std::vector<double> shares = {0.25, 0.5, 0.75, 1.0};
  std::vector<double> edge_threads = {1, 2};
  std::vector<double> cloud_threads = {1, 2};
  std::vector<std::string> codecs = {"raw", "fp16", "int8"};
  double edge_pass = 0.160;   ///< s of the whole network at full share, one thread
  double cloud_pass = 0.030;  ///< s, one thread
  double megabits = 20;
  double round_trip = 0.010;
  bool labelled = true;  ///< accuracies of the codecs were measured
};

/// In (0, 1), the same with every standard library.
inline double uniform(std::mt19937_64& engine) {
  return (static_cast<double>(engine() >> 11) + 0.5) * 0x1p-53;
}

inline table::Profile synthetic_profile(const SyntheticOptions& options = {}) {
  using core::Bytes;
  using core::Seconds;
  using core::Watts;
  std::mt19937_64 engine(options.seed);
  const auto around = [&](double value) { return value * (0.6 + 0.8 * uniform(engine)); };

  table::Profile profile;
  profile.model = {.structure = 0x5EED0000 + options.seed, .weights = options.seed};
  profile.model_name = "synthetic";
  profile.codecs = options.codecs;
  profile.reply = Bytes(60);
  profile.chunk = Bytes(65536);
  profile.link.round_trip = Seconds(options.round_trip);
  profile.link.round_trip_spread = Seconds(options.round_trip * 0.05);
  profile.link.up = profile.link.down = core::megabits_per_second(options.megabits);
  profile.link.overhead = core::microseconds(300);

  // The input is large, the first layers larger still, then they shrink: mid-network cuts pay.
  std::vector<double> weights(options.steps);
  double sum = 0;
  for (double& weight : weights) sum += weight = around(1);
  const double input = 150e3;
  for (std::size_t c = 0; c <= options.steps; ++c) {
    const double depth = static_cast<double>(c) / static_cast<double>(options.steps);
    table::CutProfile cut;
    cut.position = static_cast<std::uint32_t>(c);
    cut.id = {core::hash_text("cut", options.seed * 1000 + c)};
    cut.layer = c == 0 ? "input" : "layer" + std::to_string(c);
    cut.op = c == 0 ? "input" : "aten::conv2d";
    const double raw = c == 0 ? input : around(3 * input * std::pow(0.004, depth));
    cut.raw = Bytes(std::ceil(raw));
    if (c != options.steps)
      for (const std::string& codec : options.codecs) {
        const double ratio = codec == "raw" ? 1 : codec == "fp16" ? 0.5 : 0.25;
        const double lost = codec == "int8" ? 0.03 * (1 - depth) : codec == "fp16" ? 0.001 : 0;
        table::CutCodec coded;
        coded.encoded = Bytes(std::ceil(raw * ratio) + 64);
        if (options.labelled)
          coded.accuracy = {0.92 - lost, 10000, table::Accuracy::Basis::labels};
        cut.codecs.push_back(coded);
      }
    // The input crosses again at the second cut, as beside a residual block.
    const auto steps = static_cast<double>(options.steps), at = static_cast<double>(c);
    cut.head_memory = Bytes(2e6 * at + raw);
    cut.tail_memory = Bytes(c == options.steps ? 0 : 2e6 * (steps - at) + raw);
    cut.input_known = true;
    cut.input = Bytes(c == 0 || c == 2 ? input : 0);
    profile.cuts.push_back(cut);
  }

  const auto settings = [&](table::HostProfile& host, double pass, double idle, auto busy_of) {
    std::size_t count = 1;
    for (const core::Knob& knob : host.knobs) count *= knob.levels.size();
    for (std::size_t i = 0; i < count; ++i) {
      table::Setting setting;
      double speed = 1;
      std::size_t rest = i;
      double share = 1, threads = 1;
      for (const core::Knob& knob : host.knobs) {
        const auto level = static_cast<core::LevelIndex>(rest % knob.levels.size());
        rest /= knob.levels.size();
        setting.levels.push_back(level);
        const double value = knob.levels[level].value;
        (knob.name == "threads" ? threads : share) = value;
      }
      speed = share * std::pow(threads, 0.8);
      for (const double weight : weights) {
        table::Timing step;
        step.mean = step.median = Seconds(pass * weight / sum / speed);
        step.spread = step.mean * 0.05;
        step.samples = 20;
        setting.steps.push_back(step);
      }
      setting.whole.mean = setting.whole.median = Seconds(pass / speed);
      setting.whole.spread = setting.whole.mean * 0.04;
      setting.whole.samples = 20;
      for (const std::string& codec : options.codecs) {
        const double per_byte = (codec == "raw" ? 0.1e-9 : 1.5e-9) / speed;
        setting.codecs.push_back(
            {Seconds(20e-6 / speed), Seconds(15e-6 / speed), per_byte, per_byte * 0.8});
      }
      setting.busy = Watts(busy_of(share, threads));
      setting.idle = Watts(idle);
      setting.machine_busy = setting.busy;
      host.settings.push_back(setting);
    }
  };
  const auto knob = [](const char* name, core::HostIndex host, const char* unit,
                       const std::vector<double>& values, double cost) {
    core::Knob out;
    out.name = name;
    out.host = host;
    out.unit = unit;
    out.switch_cost = Seconds(cost);
    for (const double value : values) {
      const bool whole = value == std::floor(value) && std::string(name) == "threads";
      out.levels.push_back({whole ? std::to_string(static_cast<int>(value))
                                  : std::to_string(static_cast<int>(value * 1800)) + " MHz",
                            value});
    }
    return out;
  };
  table::HostProfile& edge = profile.hosts[core::edge_host];
  edge.name = "edge";
  edge.board = "synthetic";
  edge.knobs = {knob("cpu_share", core::edge_host, "share", options.shares, 0.002),
                knob("threads", core::edge_host, "threads", options.edge_threads, 0.0005)};
  edge.transmit = core::JoulesPerByte(400e-9);
  edge.receive = core::JoulesPerByte(60e-9);
  // Power grows faster than the share, as voltage goes with frequency.
  settings(edge, options.edge_pass, 1.2, [](double share, double threads) {
    return 1.2 + 3.6 * std::pow(share, 2.4) * std::pow(threads, 0.9) + 0.25;
  });
  table::HostProfile& cloud = profile.hosts[core::cloud_host];
  cloud.name = "cloud";
  cloud.board = "synthetic";
  cloud.knobs = {knob("threads", core::cloud_host, "threads", options.cloud_threads, 0.0005)};
  settings(cloud, options.cloud_pass, 40,
           [](double, double threads) { return 40 + 25 * std::pow(threads, 0.9); });
  for (table::Setting& setting : cloud.settings) setting.machine_busy = setting.busy + Watts(60);
  return profile;
}

}  // namespace cleave::test
