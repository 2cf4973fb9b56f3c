#include "profiler/levels.hpp"
#include "profiler/statistics.hpp"

#include <cleave/profiler/host.hpp>
#include <cleave/profiler/transfer.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <thread>

namespace cleave::inline v0::profiler {
namespace {

using core::Seconds;

class HostMeasurement {
 public:
  HostMeasurement(const core::Executable& model, const core::Values& example,
                  const HostOptions& options)
      : model_(model),
        example_(example),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : steady_),
        random_(options.seed) {}

  // What was measured of one combination of levels so far, in seconds.
  struct Samples {
    std::vector<double> plain;                  // whole passes
    std::vector<std::vector<double>> per_step;  // in instrumented ones
    std::vector<table::CodecCost> codecs;
  };

  // One round's share of the passes, at whatever levels are set; the first round prices codecs too.
  core::Result<void> measure(Samples& samples) {
    if (auto timed = time_passes(samples); !timed)
      return timed;
    for (std::size_t c = samples.codecs.size(); c < options_.codecs.size(); ++c) {
      auto cost = time_codec(options_.codecs[c]);
      if (!cost)
        return core::fail(cost);
      samples.codecs.push_back(*cost);
    }
    return {};
  }

  table::Setting summarise(std::vector<core::LevelIndex> levels, const Samples& samples) const {
    table::Setting setting;
    const device::HostPower power = options_.power(levels);
    setting.levels = std::move(levels);
    setting.busy = power.busy;
    setting.idle = power.idle;
    setting.machine_busy = power.machine_busy;
    setting.power_origin = power.origin;
    setting.codecs = samples.codecs;
    setting.whole = timing_of(samples.plain);
    double sum = 0;
    for (const auto& step : samples.per_step) sum += mean_of(step);
    const double scale = sum > 0 ? setting.whole.mean.count() / sum : 1;
    for (const auto& step : samples.per_step) setting.steps.push_back(timing_of(step, scale));
    return setting;
  }

  static constexpr int rounds = 4;

 private:
  void idle_as_between_requests() {
    if (options_.idle_gap <= Seconds(0))
      return;
    // Not std::uniform_real_distribution: its values differ between standard libraries.
    const double u = static_cast<double>(random_() >> 11) * 0x1p-53;
    const Seconds gap = options_.idle_gap * (1 + u);
    if (options_.idle)
      options_.idle(gap);
    else
      std::this_thread::sleep_for(std::chrono::duration<double>(gap.count()));
  }

  core::Result<void> time_passes(Samples& samples) {
    const core::CutId first = model_.cuts().front().id;
    const core::CutId last = model_.cuts().back().id;
    samples.per_step.resize(model_.step_count());
    for (int i = 0; i < options_.warm_up; ++i)
      if (auto r = model_.run(first, last, example_); !r)
        return core::fail(r);
    const int passes = (options_.min_passes + rounds - 1) / rounds;
    const Seconds start = clock_.now();
    std::vector<core::StepTime> times;
    for (int pass = 0;; ++pass) {
      const Seconds spent = clock_.now() - start;
      if (options_.stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      const bool enough = pass >= passes && spent >= options_.min_time / rounds;
      if (enough || (pass >= 1 && spent >= options_.max_time / rounds))
        return {};
      // Plain and instrumented passes in turn, and which comes first in turn too.
      for (int half = 0; half < 2; ++half) {
        idle_as_between_requests();
        if ((half + pass) % 2 == 0) {
          const Seconds before = clock_.now();
          if (auto r = model_.run(first, last, example_); !r)
            return core::fail(r);
          samples.plain.push_back((clock_.now() - before).count());
        } else {
          times.clear();
          if (auto r = model_.run_timed(first, last, example_, times); !r)
            return core::fail(r);
          for (const core::StepTime& t : times)
            samples.per_step.at(t.step).push_back(t.time.count());
        }
      }
    }
  }

  // fixed + per_byte * bytes through two sizes: the larger is that of a typical early cut.
  // What entropy coding costs depends on the values: noise of about a normal distribution, half of
  // it cut off as by a ReLU.
  static void fill_like_activations(core::Tensor& tensor) {
    std::mt19937_64 random(1);
    for (std::size_t k = 0; k < tensor.numel(); ++k) {
      const std::uint64_t bits = random();
      const auto sum = static_cast<float>((bits & 0xFFFF) + (bits >> 16 & 0xFFFF) +
                                          (bits >> 32 & 0xFFFF) + (bits >> 48));
      tensor.data_as<float>()[k] = std::max(0.0F, sum / 65536.0F - 2.0F);
    }
  }

  core::Result<table::CodecCost> time_codec(const std::string& name) {
    constexpr std::int64_t small = 256;
    constexpr std::int64_t large = 65536;
    const auto codec = transport::find_codec(name);
    if (!codec)
      return core::fail(codec);
    double encode[2];
    double decode[2];
    const std::int64_t counts[2] = {small, large};
    for (int i = 0; i < 2; ++i) {
      core::Tensor tensor = core::empty_tensor(core::DType::float32, {counts[i]});
      fill_like_activations(tensor);
      const core::Values values{tensor};
      std::vector<double> encodes;
      std::vector<double> decodes;
      std::vector<std::byte> bytes;
      for (int repeat = 0; repeat < 12; ++repeat) {
        bytes.clear();
        const Seconds t0 = clock_.now();
        if (auto r = transport::encode_values(values, **codec, bytes); !r)
          return core::fail(r);
        const Seconds t1 = clock_.now();
        if (auto r = transport::decode_values(bytes, {}); !r)
          return core::fail(r);
        const Seconds t2 = clock_.now();
        if (repeat < 2)  // warm-up
          continue;
        encodes.push_back((t1 - t0).count());
        decodes.push_back((t2 - t1).count());
      }
      encode[i] = mean_of(encodes);
      decode[i] = mean_of(decodes);
    }
    const double bytes_between = 4.0 * static_cast<double>(large - small);
    table::CodecCost cost;
    cost.encode_per_byte = std::max(0.0, (encode[1] - encode[0]) / bytes_between);
    cost.decode_per_byte = std::max(0.0, (decode[1] - decode[0]) / bytes_between);
    cost.encode_fixed = Seconds(std::max(0.0, encode[0] - cost.encode_per_byte * 4.0 * small));
    cost.decode_fixed = Seconds(std::max(0.0, decode[0] - cost.decode_per_byte * 4.0 * small));
    return cost;
  }

  const core::Executable& model_;
  const core::Values& example_;
  const HostOptions& options_;
  core::SteadyClock steady_;
  const core::Clock& clock_;
  std::mt19937_64 random_;
};

core::Result<table::HostProfile> half_to_transfer(const core::Executable& model,
                                                  const HostOptions& options) {
  if (options.measure_levels != 0 || options.probes < 2)
    return core::fail(core::Errc::invalid_argument,
                      "a transfer measures two probes or more, and no levels beside them", "probes",
                      "give a number of probes, and no number of levels");
  if (options.transfer_from->model.structure != model.fingerprint().structure)
    return core::fail(core::Errc::mismatch, "the profile to transfer from is of another network",
                      options.transfer_from->model_name,
                      "transfer a profile of the same model, plan and input sizes");
  return edge_half_for(*options.transfer_from, options.codecs);
}

}  // namespace

core::Result<table::HostProfile> measure_host(const core::Executable& model,
                                              const core::Values& example, device::Arbiter& knobs,
                                              const HostOptions& options) {
  table::HostProfile host;
  host.name = options.name;
  host.board = options.board;
  host.source = options.source;
  host.transmit = options.transmit;
  host.receive = options.receive;
  host.made_on = options.made_on;
  if (options.measure_levels != 0 && options.measure_levels < 3)
    return core::fail(core::Errc::invalid_argument,
                      "less than three measured levels predict others without a check",
                      "measure_levels", "measure at least three, or all");
  std::optional<table::HostProfile> similar;
  if (options.transfer_from) {
    auto half = half_to_transfer(model, options);
    if (!half)
      return core::fail(half);
    similar = std::move(*half);
  }
  auto order = similar ? probe_settings(knobs.knobs(), options.probes)
                       : combinations(knobs.knobs(), options.measure_levels);
  std::vector<std::size_t> shuffled(order.size());
  std::iota(shuffled.begin(), shuffled.end(), std::size_t{0});
  std::mt19937_64 random(options.seed);
  for (std::size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[random() % i]);

  // In rounds, so that what disturbs the machine for a while falls on all settings and not on one.
  HostMeasurement measurement(model, example, options);
  std::vector<HostMeasurement::Samples> samples(order.size());
  std::size_t done = 0;
  for (int round = 0; round < HostMeasurement::rounds; ++round)
    for (const std::size_t which : shuffled) {
      auto lease = knobs.acquire(order[which]);
      if (!lease)
        return core::fail(lease);
      if (auto measured = measurement.measure(samples[which]); !measured)
        return core::fail(measured);
      if (options.progress)
        options.progress(static_cast<double>(++done) /
                         static_cast<double>(shuffled.size() * HostMeasurement::rounds));
    }
  for (std::size_t i = 0; i < order.size(); ++i)
    host.settings.push_back(measurement.summarise(order[i], samples[i]));
  host.knobs = knobs.knobs();
  const auto predicted = similar ? transfer(host, *similar, options.power, options.slice)
                                 : predict_levels(host, options.power, options.slice);
  if (!predicted)
    return core::fail(predicted);
  return host;
}

}  // namespace cleave::inline v0::profiler
