#include "profiler/levels.hpp"
#include "profiler/statistics.hpp"

#include <cleave/profiler/transfer.hpp>

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace cleave::inline v0::profiler {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;
using core::Seconds;
using Levels = std::vector<LevelIndex>;

const core::Knob* find_knob(const table::HostProfile& host, const core::Knob& like) {
  const auto found =
      std::find_if(host.knobs.begin(), host.knobs.end(), [&](const core::Knob& knob) {
        return knob.name == like.name && knob.unit == like.unit &&
               knob.categorical == like.categorical;
      });
  return found == host.knobs.end() ? nullptr : &*found;
}

std::size_t find_level(const core::Knob& knob, const core::Level& like) {
  const auto found =
      std::find_if(knob.levels.begin(), knob.levels.end(), [&](const core::Level& level) {
        return knob.categorical ? level.label == like.label : level.value == like.value;
      });
  return static_cast<std::size_t>(found - knob.levels.begin());
}

// The source's settings at every combination of the target's levels, in the target's numbers.
Result<std::map<Levels, table::Setting>> source_at_target(const table::HostProfile& target,
                                                          const table::HostProfile& source,
                                                          const device::SliceOf& slice) {
  if (source.knobs.size() != target.knobs.size() ||
      !std::all_of(target.knobs.begin(), target.knobs.end(),
                   [&](const core::Knob& knob) { return find_knob(source, knob) != nullptr; }))
    return fail(Errc::mismatch, "the device has other knobs than the profile to transfer from",
                source.name, "offer the same knobs, or profile without --transfer-from");
  // Under a quota only levels whose slice is known may help to predict others.
  std::vector<core::Knob> knobs = target.knobs;
  for (core::Knob& knob : knobs) {
    if (slice || knob.categorical)
      continue;
    for (const core::Level& level : find_knob(source, knob)->levels)
      if (find_level(knob, level) == knob.levels.size())
        knob.levels.push_back(level);
    std::sort(knob.levels.begin(), knob.levels.end(),
              [](const auto& a, const auto& b) { return a.value < b.value; });
  }
  std::map<Levels, table::Setting> known;
  for (const table::Setting& setting : source.settings) {
    Levels levels;
    for (const core::Knob& knob : knobs) {
      const core::Knob* theirs = find_knob(source, knob);
      const LevelIndex theirs_at =
          setting.levels[static_cast<std::size_t>(theirs - source.knobs.data())];
      const std::size_t at = find_level(knob, theirs->levels[theirs_at]);
      if (at < knob.levels.size())
        levels.push_back(static_cast<LevelIndex>(at));
    }
    if (levels.size() == knobs.size())
      known.emplace(levels, setting).first->second.levels = levels;
  }

  table::HostProfile filled;
  filled.name = source.name;
  filled.knobs = knobs;
  const auto in_united = [&](Levels levels) {
    for (std::size_t k = 0; k < levels.size(); ++k)
      levels[k] = static_cast<LevelIndex>(find_level(knobs[k], target.knobs[k].levels[levels[k]]));
    return levels;
  };
  const std::vector<Levels> wanted = combinations(target.knobs, 0);
  if (!std::all_of(wanted.begin(), wanted.end(),
                   [&](const Levels& levels) { return known.contains(in_united(levels)); })) {
    for (const auto& [levels, setting] : known)
      if (!setting.predicted)
        filled.settings.push_back(setting);
    const auto no_power = [](std::span<const LevelIndex>) { return device::HostPower{}; };
    if (auto predicted = predict_levels(filled, no_power, slice); !predicted)
      return fail(Errc::mismatch, "the profile to transfer from lacks levels of this device",
                  source.name, predicted.error().what + "; or profile without --transfer-from");
    for (const table::Setting& setting : filled.settings) known.emplace(setting.levels, setting);
  }
  std::map<Levels, table::Setting> out;
  for (const Levels& levels : wanted) out.emplace(levels, known.at(in_united(levels)));
  return out;
}

// What a pass's ratio between two devices may depend on: a row per setting, a column per numeric
// knob and per word but the first. Columns run over 1, so that one penalty is fair to all.
class Features {
 public:
  explicit Features(const std::vector<core::Knob>& knobs) : knobs_(knobs) {}

  [[nodiscard]] Eigen::RowVectorXd operator()(const Levels& levels) const {
    std::vector<double> row;
    for (std::size_t k = 0; k < knobs_.size(); ++k) {
      const core::Knob& knob = knobs_[k];
      if (knob.categorical) {
        for (std::size_t word = 1; word < knob.levels.size(); ++word)
          row.push_back(levels[k] == word ? 1 : 0);
        continue;
      }
      const double low = position(knob, 0), high = position(knob, knob.levels.size() - 1);
      row.push_back(high > low ? (position(knob, levels[k]) - low) / (high - low) : 0);
    }
    return Eigen::Map<Eigen::RowVectorXd>(row.data(), static_cast<Eigen::Index>(row.size()));
  }

 private:
  static double position(const core::Knob& knob, std::size_t level) {
    const double value = knob.levels[level].value;
    return knob.levels.front().value > 0 ? std::log(value) : value;
  }

  const std::vector<core::Knob>& knobs_;
};

struct Ridge {
  double mean = 0;
  Eigen::RowVectorXd centre;
  Eigen::VectorXd slopes;

  [[nodiscard]] double at(const Eigen::RowVectorXd& row) const {
    return mean + (row - centre).dot(slopes);
  }
};

Ridge fit_ridge(const Eigen::MatrixXd& rows, const Eigen::VectorXd& values, double penalty) {
  Ridge out;
  out.mean = values.mean();
  out.centre = rows.colwise().mean();
  out.slopes = Eigen::VectorXd::Zero(rows.cols());
  if (!std::isfinite(penalty) || rows.cols() == 0)
    return out;
  const Eigen::MatrixXd centred = rows.rowwise() - out.centre;
  Eigen::MatrixXd normal = centred.transpose() * centred;
  normal.diagonal().array() += penalty;
  out.slopes = normal.ldlt().solve(centred.transpose() * (values.array() - out.mean).matrix());
  return out;
}

// All rows but one.
template <class Matrix>
Matrix without(const Matrix& matrix, Eigen::Index row) {
  Matrix out(matrix.rows() - 1, matrix.cols());
  out.topRows(row) = matrix.topRows(row);
  out.bottomRows(out.rows() - row) = matrix.bottomRows(out.rows() - row);
  return out;
}

Ridge best_ridge(const Eigen::MatrixXd& rows, const Eigen::VectorXd& values) {
  double best = std::numeric_limits<double>::infinity(), least = best;
  for (const double penalty :
       {std::numeric_limits<double>::infinity(), 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 1e-3}) {
    double squares = 0;
    for (Eigen::Index i = 0; i < rows.rows() && rows.rows() > 1; ++i) {
      const Ridge fitted = fit_ridge(without(rows, i), without(values, i), penalty);
      squares += std::pow(fitted.at(rows.row(i)) - values[i], 2);
    }
    if (squares < least) {
      least = squares;
      best = penalty;
    }
  }
  return fit_ridge(rows, values, best);
}

double square(double x) {
  return x * x;
}

// The square of a mean's relative standard error; of a predicted step, that of one sample.
double relative_variance(const table::Timing& timing) {
  if (timing.mean <= Seconds(0))
    return 0;
  return square(timing.spread / timing.mean) / std::max(1U, timing.samples);
}

struct Probe {
  const table::Setting *target, *source;
};

// How a device compares with another.
class Comparison {
 public:
  Comparison(const Features& features, const std::vector<Probe>& probes)
      : features_(features), probes_(probes) {
    const auto count = static_cast<Eigen::Index>(probes.size());
    Eigen::MatrixXd rows(count, features(probes.front().target->levels).size());
    Eigen::VectorXd ratios(count);
    for (Eigen::Index p = 0; p < count; ++p) {
      const Probe& probe = probes[static_cast<std::size_t>(p)];
      rows.row(p) = features(probe.target->levels);
      ratios[p] = std::log(probe.target->whole.mean / probe.source->whole.mean);
    }
    pass_ = best_ridge(rows, ratios);
    compare_steps();
  }

  // What the target's steps take where the source's take so long.
  [[nodiscard]] std::vector<double> steps_at(const table::Setting& source,
                                             const Levels& levels) const {
    std::vector<double> means;
    for (std::size_t i = 0; i < source.steps.size(); ++i)
      means.push_back(source.steps[i].mean.count() * std::exp(steps_[i]));
    const double sum = std::accumulate(means.begin(), means.end(), 0.0);
    const double pass = source.whole.mean.count() * std::exp(pass_.at(features_(levels)));
    for (double& mean : means) mean *= sum > 0 ? pass / sum : 0;
    return means;
  }

 private:
  // The logarithm of what each step's share of the pass changes by.
  void compare_steps() {
    const std::size_t count = probes_.front().target->steps.size();
    const auto probes = static_cast<double>(probes_.size());
    std::vector<double> means(count), variances(count);
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<double> ratios;
      double noise = 0;
      for (const Probe& probe : probes_) {
        const table::Timing &target = probe.target->steps[i], &source = probe.source->steps[i];
        if (target.mean <= Seconds(0) || source.mean <= Seconds(0))
          continue;
        ratios.push_back(std::log(target.mean / source.mean) -
                         std::log(probe.target->whole.mean / probe.source->whole.mean));
        noise += relative_variance(target) + relative_variance(source);
      }
      if (ratios.size() < probes_.size()) {  // too short to be seen somewhere
        variances[i] = std::numeric_limits<double>::infinity();
        continue;
      }
      means[i] = mean_of(ratios);
      // What the samples tell, and what the ratio differs by between probes.
      variances[i] = std::max(noise / (probes * probes), square(deviation_of(ratios)) / probes);
    }
    steps_ = shrunk(means, variances);
  }

  // Towards 0, since a factor that all steps share is the pass's.
  static std::vector<double> shrunk(const std::vector<double>& means,
                                    const std::vector<double>& variances) {
    constexpr double least = 1e-12;
    double weights = 0, heterogeneity = 0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < means.size(); ++i)
      if (std::isfinite(variances[i])) {
        const double weight = 1 / std::max(least, variances[i]);
        weights += weight;
        heterogeneity += weight * square(means[i]);
        ++count;
      }
    // E[sum w d^2] = count + tau^2 sum w, with the mean known to be 0.
    const double between =
        weights > 0 ? std::max(0.0, (heterogeneity - static_cast<double>(count)) / weights) : 0;
    std::vector<double> out;
    for (std::size_t i = 0; i < means.size(); ++i)
      out.push_back(std::isfinite(variances[i])
                        ? means[i] * between / (between + std::max(least, variances[i]))
                        : 0);
    return out;
  }

  const Features& features_;
  const std::vector<Probe>& probes_;
  Ridge pass_;
  std::vector<double> steps_;
};

// What a message of 64 KiB costs.
double encode_of(const table::CodecCost& cost) {
  return cost.encode_fixed.count() + cost.encode_per_byte * 65536;
}
double decode_of(const table::CodecCost& cost) {
  return cost.decode_fixed.count() + cost.decode_per_byte * 65536;
}

template <class CostOf>
double codec_factor(const std::vector<Probe>& probes, std::size_t codec, CostOf&& cost_of) {
  std::vector<double> ratios;
  for (const Probe& probe : probes) {
    const double there = cost_of(probe.target->codecs[codec]);
    const double here = cost_of(probe.source->codecs[codec]);
    if (there > 0 && here > 0)
      ratios.push_back(std::log(there / here));
  }
  return std::exp(mean_of(ratios));
}

template <class TimingOf>
table::Timing timing_like(double mean, const std::vector<Probe>& probes, TimingOf&& timing_of) {
  std::vector<double> medians, spreads;
  for (const Probe& probe : probes) {
    const table::Timing& timing = timing_of(*probe.target);
    if (timing.mean <= Seconds(0))
      continue;
    medians.push_back(timing.median / timing.mean);
    spreads.push_back(timing.spread / timing.mean);
  }
  table::Timing out;
  out.mean = Seconds(mean);
  out.median = Seconds(medians.empty() ? mean : mean * mean_of(medians));
  out.spread = Seconds(mean * mean_of(spreads));
  return out;
}

table::Setting setting_at(const Levels& levels, const table::Setting& source,
                          const Comparison& comparison, const std::vector<Probe>& probes,
                          const device::PowerOf& power) {
  table::Setting out;
  out.levels = levels;
  out.predicted = true;
  const std::vector<double> means = comparison.steps_at(source, levels);
  for (std::size_t i = 0; i < means.size(); ++i)
    out.steps.push_back(
        timing_like(means[i], probes,
                    [i](const table::Setting& s) -> const table::Timing& { return s.steps[i]; }));
  out.whole = timing_like(std::accumulate(means.begin(), means.end(), 0.0), probes,
                          [](const table::Setting& s) -> const table::Timing& { return s.whole; });
  for (std::size_t c = 0; c < source.codecs.size(); ++c) {
    table::CodecCost cost = source.codecs[c];
    const double encode = codec_factor(probes, c, encode_of);
    const double decode = codec_factor(probes, c, decode_of);
    cost.encode_fixed = cost.encode_fixed * encode;
    cost.encode_per_byte *= encode;
    cost.decode_fixed = cost.decode_fixed * decode;
    cost.decode_per_byte *= decode;
    out.codecs.push_back(cost);
  }
  const device::HostPower watts = power(levels);
  out.busy = watts.busy;
  out.idle = watts.idle;
  out.machine_busy = watts.machine_busy;
  out.power_origin = watts.origin;
  return out;
}

// Each probe from the others: relative errors of whole passes, and of heads.
struct LeftOut {
  std::vector<double> passes, heads;
};

LeftOut leave_probes_out(const Features& features, const std::vector<Probe>& probes) {
  LeftOut out;
  for (std::size_t p = 0; p < probes.size(); ++p) {
    std::vector<Probe> others = probes;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(p));
    const Comparison comparison(features, others);
    const table::Setting& truth = *probes[p].target;
    const std::vector<double> means = comparison.steps_at(*probes[p].source, truth.levels);
    double all = 0;
    for (const table::Timing& step : truth.steps) all += step.mean.count();
    double predicted = 0, measured = 0;
    int quarter = 1;
    for (std::size_t i = 0; i < means.size(); ++i) {
      predicted += means[i];
      measured += truth.steps[i].mean.count();
      // One step may be longer than a quarter.
      for (; quarter < 4 && measured > 0 && measured >= all * quarter / 4; ++quarter)
        out.heads.push_back(predicted / measured - 1);
    }
    out.heads.push_back(predicted / truth.whole.mean.count() - 1);
    out.passes.push_back(out.heads.back());
  }
  return out;
}

}  // namespace

std::vector<Levels> probe_settings(const std::vector<core::Knob>& knobs, int count) {
  const std::vector<Levels> all = combinations(knobs, 0);
  if (count <= 0 || static_cast<std::size_t>(count) >= all.size())
    return all;
  const auto place = [&](const Levels& levels) {
    std::vector<double> at;
    for (std::size_t k = 0; k < knobs.size(); ++k) {
      const auto& list = knobs[k].levels;
      if (list.size() < 2)
        continue;
      if (is_rate(knobs[k])) {
        const double slowest = 1 / list.front().value, fastest = 1 / list.back().value;
        at.push_back((1 / list[levels[k]].value - fastest) / (slowest - fastest));
      } else {
        at.push_back(levels[k] / static_cast<double>(list.size() - 1));
      }
    }
    return at;
  };
  std::vector<double> nearest(all.size(), std::numeric_limits<double>::infinity());
  std::vector<std::size_t> chosen{all.size() - 1};
  while (static_cast<int>(chosen.size()) < count) {
    const std::vector<double> last = place(all[chosen.back()]);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::vector<double> at = place(all[i]);
      double distance = 0;
      for (std::size_t d = 0; d < at.size(); ++d) distance += square(at[d] - last[d]);
      nearest[i] = std::min(nearest[i], distance);
    }
    chosen.push_back(static_cast<std::size_t>(std::max_element(nearest.begin(), nearest.end()) -
                                              nearest.begin()));
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<Levels> out;
  for (const std::size_t i : chosen) out.push_back(all[i]);
  return out;
}

core::Result<table::HostProfile> edge_half_for(const table::Profile& source,
                                               const std::vector<std::string>& codecs) {
  table::HostProfile half = source.hosts[core::edge_host];
  std::vector<std::size_t> where;
  for (const std::string& codec : codecs) {
    const auto found = std::find(source.codecs.begin(), source.codecs.end(), codec);
    if (found == source.codecs.end())
      return fail(Errc::mismatch, "the profile to transfer from has no codec " + codec,
                  source.model_name, "give --codecs that it has");
    where.push_back(static_cast<std::size_t>(found - source.codecs.begin()));
  }
  for (table::Setting& setting : half.settings) {
    std::vector<table::CodecCost> costs;
    for (const std::size_t at : where) costs.push_back(setting.codecs[at]);
    setting.codecs = std::move(costs);
  }
  return half;
}

core::Result<void> transfer(table::HostProfile& target, const table::HostProfile& source,
                            const device::PowerOf& power, const device::SliceOf& slice) {
  const std::vector<Levels> all = combinations(target.knobs, 0);
  if (target.settings.size() < 2)
    return fail(Errc::invalid_argument, "a transfer without two probes has no check", target.name,
                "measure at least two settings");
  for (const table::HostProfile* host : {static_cast<const table::HostProfile*>(&target), &source})
    for (const table::Setting& setting : host->settings)
      if (setting.steps.size() != target.settings.front().steps.size() ||
          setting.codecs.size() != target.settings.front().codecs.size() ||
          !(setting.whole.mean > Seconds(0)))
        return fail(Errc::mismatch, "the two halves have other steps or codecs", source.name,
                    "transfer profiles of one model");
  const auto at_source = source_at_target(target, source, slice);
  if (!at_source)
    return fail(at_source);
  std::vector<Probe> probes;
  for (const table::Setting& setting : target.settings)
    probes.push_back({&setting, &at_source->at(setting.levels)});

  const Features features(target.knobs);
  const Comparison comparison(features, probes);
  const LeftOut errors = leave_probes_out(features, probes);
  double squares = 0;
  for (const double error : errors.heads) squares += square(error);
  const double interval =
      student(probes.size()) * std::sqrt(squares / static_cast<double>(errors.heads.size()));
  std::vector<table::Setting> settings;
  for (const Levels& levels : all) {
    const auto measured =
        std::find_if(target.settings.begin(), target.settings.end(),
                     [&](const table::Setting& setting) { return setting.levels == levels; });
    if (measured != target.settings.end()) {
      settings.push_back(*measured);
      continue;
    }
    const table::Setting& from = at_source->at(levels);
    settings.push_back(setting_at(levels, from, comparison, probes, power));
    settings.back().interval = std::hypot(interval, from.interval);
  }
  target.fit = {};
  if (settings.size() > target.settings.size()) {
    std::vector<double> sizes;
    for (const double error : errors.passes) sizes.push_back(std::abs(error));
    target.fit.left_out = static_cast<std::uint32_t>(sizes.size());
    target.fit.median_relative = median_of(sizes);
    target.fit.worst_relative = *std::max_element(sizes.begin(), sizes.end());
  }
  target.settings = std::move(settings);
  return {};
}

}  // namespace cleave::inline v0::profiler
