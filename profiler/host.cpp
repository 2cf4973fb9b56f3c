#include "profiler/host_samples.hpp"
#include "profiler/levels.hpp"
#include "profiler/rest.hpp"
#include "profiler/statistics.hpp"
#include "profiler/watch.hpp"

#include <cleave/profiler/host.hpp>
#include <cleave/profiler/transfer.hpp>
#include <cleave/transport/codec.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <random>

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
        rest_({options.idle_gap, options.idle, options.slice, options.cpu_time, options.clock}),
        random_(options.seed) {}

  // One round's share of the passes, at `levels`, which are set; the first round prices codecs too.
  // `pairs`: so many of both kinds of passes; nothing: as many as the options say.
  core::Result<void> measure(std::span<const core::LevelIndex> levels, SettingSamples& samples,
                             std::optional<int> pairs) {
    if (auto timed = time_passes(levels, samples, pairs); !timed)
      return timed;
    for (int i = 0; i < exchanges && options_.exchange; ++i) {
      if (options_.stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      const auto time = options_.exchange();
      if (!time)
        return core::fail(time);
      samples.exchanges.push_back(time->count());
    }
    for (std::size_t c = samples.codecs.size(); c < options_.codecs.size(); ++c) {
      auto cost = time_codec(options_.codecs[c]);
      if (!cost)
        return core::fail(cost);
      samples.codecs.push_back(*cost);
    }
    return {};
  }

  table::Setting summarise(std::vector<core::LevelIndex> levels,
                           const SettingSamples& samples) const {
    table::Setting setting;
    const device::HostPower power = options_.power(levels);
    setting.levels = std::move(levels);
    setting.busy = power.busy;
    setting.idle = power.idle;
    setting.machine_busy = power.machine_busy;
    setting.power_origin = power.origin;
    setting.codecs = samples.codecs;
    setting.whole = timing_of(samples.plain);
    setting.outliers = outliers_in(samples.plain);
    setting.exchange = timing_of(samples.exchanges);
    double sum = 0;
    for (const auto& step : samples.per_step) sum += mean_of(step);
    const double scale = sum > 0 ? setting.whole.mean.count() / sum : 1;
    for (const auto& step : samples.per_step) setting.steps.push_back(timing_of(step, scale));
    return setting;
  }

  // What a pair of passes takes, with the waiting before them, from those that were measured.
  [[nodiscard]] double pair_of(const SettingSamples& samples) const {
    return 2 * (mean_of(samples.plain) + 1.5 * options_.idle_gap.count());
  }

 private:
  static constexpr int exchanges = 3;  // a round

  // Not std::uniform_real_distribution: its values differ between standard libraries.
  double uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

  core::Result<void> time_passes(std::span<const core::LevelIndex> levels, SettingSamples& samples,
                                 std::optional<int> pairs) {
    const core::CutId first = model_.cuts().front().id;
    const core::CutId last = model_.cuts().back().id;
    samples.per_step.resize(model_.step_count());
    // With little time the first pass has to do.
    const int warm_up = pairs ? std::min(options_.warm_up, 1) : options_.warm_up;
    for (int i = 0; i < warm_up; ++i)
      if (auto r = model_.run(first, last, example_); !r)
        return core::fail(r);
    const int passes = (options_.min_passes + host_rounds - 1) / host_rounds;
    const Seconds start = clock_.now();
    std::vector<core::StepTime> times;
    for (int pass = 0;; ++pass) {
      const Seconds spent = clock_.now() - start;
      if (options_.stop.stop_requested())
        return core::fail(core::Errc::cancelled, "interrupted");
      const bool enough = pass >= passes && spent >= options_.min_time / host_rounds;
      const bool too_long = pass >= 1 && spent >= options_.max_time / host_rounds;
      if (pairs ? pass >= *pairs : enough || too_long)
        return {};
      // Plain and instrumented passes in turn, and which comes first in turn too.
      for (int half = 0; half < 2; ++half) {
        rest_.wait(uniform(), levels);
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
    std::vector<double> both;  // of the large one
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
        if (counts[i] == large)
          both.push_back((t2 - t0).count());
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
    if (const double mean = mean_of(both); mean > 0)
      cost.spread = deviation_of(both) / mean;
    return cost;
  }

  const core::Executable& model_;
  const core::Values& example_;
  const HostOptions& options_;
  core::SteadyClock steady_;
  const core::Clock& clock_;
  Rest rest_;
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

core::Result<void> check_host_options(const core::Executable& model, const HostOptions& options) {
  if (options.measure_levels != 0 && options.measure_levels < 3)
    return core::fail(core::Errc::invalid_argument,
                      "less than three measured levels predict others without a check",
                      "measure_levels", "measure at least three, or all");
  if (options.transfer_from)
    if (auto half = half_to_transfer(model, options); !half)
      return core::fail(half);
  return {};
}

core::Result<table::HostProfile> measure_host(const core::Executable& model,
                                              const core::Values& example, device::Arbiter& knobs,
                                              const HostOptions& options) {
  HostSamples samples;
  return measure_host(model, example, knobs, options, samples, {});
}

core::Result<table::HostProfile> measure_host(const core::Executable& model,
                                              const core::Values& example, device::Arbiter& knobs,
                                              const HostOptions& options, HostSamples& samples,
                                              const std::function<core::Result<void>()>& kept) {
  table::HostProfile host;
  host.name = options.name;
  host.board = options.board;
  host.source = options.source;
  host.transmit = options.transmit;
  host.receive = options.receive;
  host.made_on = options.made_on;
  if (auto fit = check_host_options(model, options); !fit)
    return core::fail(fit);
  std::optional<table::HostProfile> similar;
  if (options.transfer_from)
    similar = *half_to_transfer(model, options);
  auto order = similar ? probe_settings(knobs.knobs(), options.probes)
                       : combinations(knobs.knobs(), options.measure_levels);
  std::vector<std::size_t> shuffled(order.size());
  std::iota(shuffled.begin(), shuffled.end(), std::size_t{0});
  std::mt19937_64 random(options.seed);
  for (std::size_t i = shuffled.size(); i > 1; --i)
    std::swap(shuffled[i - 1], shuffled[random() % i]);

  HostMeasurement measurement(model, example, options);
  const core::SteadyClock steady;
  const core::Clock& clock = options.clock != nullptr ? *options.clock : steady;
  Watch watch(options, clock);
  samples.settings.resize(order.size());
  // In the first round with a time limit one pair of passes tells how long they are. Then the same
  // number everywhere, so that what is left is enough for all rounds.
  const auto pairs_of = [&](std::size_t round) -> std::optional<int> {
    if (options.time_limit <= Seconds(0))
      return std::nullopt;
    if (round == 0)
      return 1;
    double all = 0;  // of a round with one pair and the pass that warms up
    for (const SettingSamples& setting : samples.settings) all += measurement.pair_of(setting);
    const double left = options.time_limit.count() - samples.spent;
    const double each = left / static_cast<double>(host_rounds - round) - all / 2;
    const double pair = all / static_cast<double>(samples.settings.size());
    const double wanted = std::max(static_cast<double>(options.min_passes),
                                   pair > 0 ? options.min_time.count() / pair : 0) /
                          host_rounds;
    return static_cast<int>(
        std::clamp(all > 0 ? each / all : wanted, 1.0, std::max(std::ceil(wanted), 1.0)));
  };
  // In rounds, so that what disturbs the machine for a while falls on all settings and not on one.
  const std::size_t stretches = shuffled.size() * host_rounds;
  std::optional<int> pairs;
  const std::size_t first = samples.stretches;
  for (std::size_t at = first; at < stretches; ++at) {
    const std::size_t which = shuffled[at % shuffled.size()];
    if (at == first || at % shuffled.size() == 0)
      pairs = pairs_of(at / shuffled.size());
    const Seconds start = clock.now();
    auto lease = knobs.acquire(order[which]);
    if (!lease)
      return core::fail(lease);
    Surroundings seen = samples.surroundings;
    if (auto cooled = watch.cool_down(seen); !cooled)
      return core::fail(cooled);
    watch.begin();
    SettingSamples setting = samples.settings[which];
    if (auto measured = measurement.measure(order[which], setting, pairs); !measured)
      return core::fail(measured);
    watch.end(seen);
    samples.settings[which] = std::move(setting);
    samples.surroundings = seen;
    samples.stretches = at + 1;
    samples.spent += (clock.now() - start).count();
    if (options.progress)
      options.progress(static_cast<double>(at + 1) / static_cast<double>(stretches));
    if (kept)
      if (auto done = kept(); !done)
        return core::fail(done);
  }
  for (std::size_t i = 0; i < order.size(); ++i)
    host.settings.push_back(measurement.summarise(order[i], samples.settings[i]));
  host.conditions = conditions_of(samples.surroundings, samples.spent);
  host.knobs = knobs.knobs();
  const auto predicted = similar ? transfer(host, *similar, options.power, options.slice)
                                 : predict_levels(host, options.power, options.slice);
  if (!predicted)
    return core::fail(predicted);
  return host;
}

}  // namespace cleave::inline v0::profiler
