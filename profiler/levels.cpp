#include "profiler/levels.hpp"

#include "profiler/statistics.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace cleave::inline v0::profiler {
namespace {

using core::LevelIndex;
using core::Seconds;
using Levels = std::vector<LevelIndex>;
using Settings = std::vector<const table::Setting*>;

// A thread cannot use more than one CPU.
double rate_of(const core::Knob& knob, LevelIndex level) {
  const double value = knob.levels[level].value;
  return knob.unit == "Hz" ? value : std::min(value, 1.0);
}

// Of Student's distribution with so many degrees of freedom, the 0.95 quantile: two-sided 90 %.
double student(std::size_t degrees) {
  constexpr std::array quantiles{6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860,
                                 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753, 1.746,
                                 1.740, 1.734, 1.729, 1.725, 1.721, 1.717, 1.714, 1.711,
                                 1.708, 1.706, 1.703, 1.701, 1.699, 1.697};
  return degrees <= quantiles.size() ? quantiles[degrees - 1] : 1.645;
}

// The value at `target` of the combination of columns, with coefficients that are not negative,
// that is closest to `values` over `rows`, by relative errors. With a handful of columns: the best
// of the unconstrained solutions over all subsets of columns that is feasible, since the
// constrained one is the unconstrained one over its own support.
double fitted(const Eigen::MatrixXd& rows, const Eigen::VectorXd& values,
              const Eigen::RowVectorXd& target) {
  const double largest = values.maxCoeff();
  if (!(largest > 0))
    return 0;
  const Eigen::VectorXd weights = values.cwiseMax(1e-6 * largest).cwiseInverse();
  const Eigen::MatrixXd scaled = weights.asDiagonal() * rows;
  const Eigen::VectorXd right = weights.cwiseProduct(values);
  double least = std::numeric_limits<double>::infinity(), result = 0;
  for (unsigned subset = 1; subset < 1U << rows.cols(); ++subset) {
    std::vector<Eigen::Index> columns;
    for (Eigen::Index c = 0; c < rows.cols(); ++c)
      if ((subset >> c & 1U) != 0)
        columns.push_back(c);
    const Eigen::MatrixXd part = scaled(Eigen::all, columns);
    const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> solver(part);
    if (solver.rank() < part.cols())
      continue;
    const Eigen::VectorXd coefficients = solver.solve(right);
    const double residual = (part * coefficients - right).squaredNorm();
    if (coefficients.minCoeff() >= 0 && residual < least) {
      least = residual;
      result = target(columns).dot(coefficients);
    }
  }
  return result;
}

// The work behind a time that was measured under several quotas, by least squares of the relative
// error between what each of them says. throttled() jumps, so the sum of squares has many minima:
// the range is searched in steps, and each candidate itself is one.
Seconds common_work(const std::vector<Seconds>& times,
                    const std::vector<device::ShareSlice>& slices, Seconds at_least) {
  std::vector<double> candidates;
  for (std::size_t i = 0; i < times.size(); ++i)
    candidates.push_back(work_within(times[i], slices[i]).count());
  const auto [low, high] = std::minmax_element(candidates.begin(), candidates.end());
  constexpr int steps = 64;
  const double from = *low, width = (*high - *low) / steps;
  for (int i = 1; i < steps && width > 0; ++i) candidates.push_back(from + i * width);
  double least = std::numeric_limits<double>::infinity(), work = 0;
  for (const double candidate : candidates) {
    double squares = 0;
    for (std::size_t i = 0; i < times.size(); ++i)
      if (times[i] > Seconds(0)) {
        const double error = throttled(Seconds(candidate), slices[i]) / times[i] - 1;
        squares += error * error;
      }
    if (squares < least) {
      least = squares;
      work = candidate;
    }
  }
  return std::max(at_least, Seconds(work));
}

class Predictor {
 public:
  Predictor(const table::HostProfile& host, const device::PowerOf& power,
            const device::SliceOf& slice)
      : knobs_(host.knobs), power_(power), slice_(slice) {
    for (std::size_t k = 0; k < knobs_.size(); ++k)
      if (is_rate(knobs_[k]))
        rates_.push_back(k);
  }

  [[nodiscard]] const std::vector<std::size_t>& rates() const { return rates_; }

  // A setting at `target` from some at equal levels of the knobs that are no rates.
  [[nodiscard]] table::Setting at(const Levels& target, const Settings& from) const {
    table::Setting out;
    out.levels = target;
    out.predicted = true;
    const std::vector<double> means = step_means(target, from);
    double sum = 0;
    for (std::size_t i = 0; i < means.size(); ++i) {
      out.steps.push_back(
          timing_like(means[i], from, [i](const table::Setting& s) { return s.steps[i]; }));
      sum += means[i];
    }
    out.whole = timing_like(sum, from, [](const table::Setting& s) { return s.whole; });
    const auto exchange = [](const table::Setting& s) { return s.exchange; };
    out.exchange = timing_like(
        fit(target, from, [](const table::Setting& s) { return s.exchange.mean.count(); }), from,
        exchange);
    out.exchange.samples = from.front()->exchange.samples;
    for (std::size_t c = 0; c < from.front()->codecs.size(); ++c)
      out.codecs.push_back(codec_at(c, target, from));
    const device::HostPower power = power_(target);
    out.busy = power.busy;
    out.idle = power.idle;
    out.machine_busy = power.machine_busy;
    out.power_origin = power.origin;
    return out;
  }

 private:
  [[nodiscard]] Eigen::RowVectorXd features(const Levels& levels) const {
    Eigen::RowVectorXd row(static_cast<Eigen::Index>(rates_.size() + 1));
    row[0] = 1;
    for (std::size_t r = 0; r < rates_.size(); ++r) {
      const core::Knob& knob = knobs_[rates_[r]];
      const auto highest = static_cast<LevelIndex>(knob.levels.size() - 1);
      row[static_cast<Eigen::Index>(r + 1)] =
          rate_of(knob, highest) / rate_of(knob, levels[rates_[r]]);
    }
    return row;
  }

  template <class Value>
  double fit(const Levels& target, const Settings& from, Value&& value) const {
    Eigen::MatrixXd rows(static_cast<Eigen::Index>(from.size()),
                         static_cast<Eigen::Index>(rates_.size() + 1));
    Eigen::VectorXd values(static_cast<Eigen::Index>(from.size()));
    for (std::size_t i = 0; i < from.size(); ++i) {
      rows.row(static_cast<Eigen::Index>(i)) = features(from[i]->levels);
      values[static_cast<Eigen::Index>(i)] = value(*from[i]);
    }
    return fitted(rows, values, features(target));
  }

  [[nodiscard]] std::vector<double> step_means(const Levels& target, const Settings& from) const {
    if (const auto slice = slice_ ? slice_(target) : std::nullopt)
      return throttled_means(*slice, from);
    std::vector<double> means;
    for (std::size_t i = 0; i < from.front()->steps.size(); ++i)
      means.push_back(
          fit(target, from, [i](const table::Setting& s) { return s.steps[i].mean.count(); }));
    return means;
  }

  // Where a step stalls depends on all work before it: it is the time up to each step that has a
  // formula.
  [[nodiscard]] std::vector<double> throttled_means(const device::ShareSlice& target,
                                                    const Settings& from) const {
    std::vector<device::ShareSlice> slices;
    for (const table::Setting* setting : from)
      slices.push_back(slice_(setting->levels).value_or(device::ShareSlice{}));
    std::vector<double> means;
    std::vector<Seconds> until(from.size());
    Seconds work, before;
    for (std::size_t i = 0; i < from.front()->steps.size(); ++i) {
      for (std::size_t s = 0; s < from.size(); ++s) until[s] += from[s]->steps[i].mean;
      work = common_work(until, slices, work);
      const Seconds after = throttled(work, target);
      means.push_back((after - before).count());
      before = after;
    }
    return means;
  }

  // Ratios to the mean do not depend on the level as the mean does.
  template <class TimingOf>
  static table::Timing timing_like(double mean, const Settings& from, TimingOf&& timing_of) {
    double median = 0, spread = 0, count = 0;
    for (const table::Setting* setting : from) {
      const table::Timing timing = timing_of(*setting);
      if (timing.mean <= Seconds(0))
        continue;
      median += timing.median / timing.mean;
      spread += timing.spread / timing.mean;
      ++count;
    }
    table::Timing out;
    out.mean = Seconds(mean);
    out.median = Seconds(count > 0 ? mean * median / count : mean);
    out.spread = Seconds(count > 0 ? mean * spread / count : 0);
    return out;
  }

  [[nodiscard]] table::CodecCost codec_at(std::size_t c, const Levels& target,
                                          const Settings& from) const {
    const auto of = [&](auto&& value) {
      return fit(target, from, [&](const table::Setting& s) { return value(s.codecs[c]); });
    };
    table::CodecCost cost;
    cost.encode_fixed = Seconds(of([](const auto& codec) { return codec.encode_fixed.count(); }));
    cost.decode_fixed = Seconds(of([](const auto& codec) { return codec.decode_fixed.count(); }));
    cost.encode_per_byte = of([](const auto& codec) { return codec.encode_per_byte; });
    cost.decode_per_byte = of([](const auto& codec) { return codec.decode_per_byte; });
    cost.spread = of([](const auto& codec) { return codec.spread; });
    return cost;
  }

  const std::vector<core::Knob>& knobs_;
  const device::PowerOf& power_;
  const device::SliceOf& slice_;
  std::vector<std::size_t> rates_;
};

// The levels of a rate that were measured.
std::set<LevelIndex> measured_levels(const Settings& group, std::size_t knob) {
  std::set<LevelIndex> levels;
  for (const table::Setting* setting : group) levels.insert(setting->levels[knob]);
  return levels;
}

// Relative errors of whole passes at levels that are left out in turn.
void leave_levels_out(const Predictor& predictor, const Settings& group,
                      std::vector<double>& errors) {
  for (const std::size_t knob : predictor.rates()) {
    const std::set<LevelIndex> levels = measured_levels(group, knob);
    for (const LevelIndex level : levels) {
      if (level == *levels.begin() || level == *levels.rbegin())
        continue;
      Settings others;
      for (const table::Setting* setting : group)
        if (setting->levels[knob] != level)
          others.push_back(setting);
      for (const table::Setting* setting : group)
        if (setting->levels[knob] == level && setting->whole.mean > Seconds(0))
          errors.push_back(predictor.at(setting->levels, others).whole.mean / setting->whole.mean -
                           1);
    }
  }
}

}  // namespace

Seconds throttled(Seconds work, const device::ShareSlice& slice) {
  const double w = work.count(), q = slice.quota.count(), period = slice.period.count();
  if (w <= q || q >= period)
    return work;
  const double stalled = period - q;
  const double k = std::ceil(w / q) - 1;
  return Seconds(w + stalled * stalled / (2 * period) +
                 stalled / period * (stalled * (k - 1) + w - q));
}

Seconds work_within(Seconds time, const device::ShareSlice& slice) {
  if (time <= slice.quota || slice.quota >= slice.period)
    return time;
  // It takes at least as long as the work, and grows: bisection, to the last bit that matters.
  Seconds low = slice.quota, high = time;
  for (int i = 0; i < 100 && high - low > high * 1e-15; ++i) {
    const Seconds middle = (low + high) / 2;
    (throttled(middle, slice) < time ? low : high) = middle;
  }
  return high;
}

bool is_rate(const core::Knob& knob) {
  return !knob.categorical && (knob.unit == "Hz" || knob.unit == "share of one CPU") &&
         std::all_of(knob.levels.begin(), knob.levels.end(),
                     [](const core::Level& level) { return level.value > 0; });
}

Levels spread_out_levels(const core::Knob& knob, int count) {
  const auto inverse = [&](LevelIndex level) { return 1 / rate_of(knob, level); };
  std::set<LevelIndex> chosen{0, static_cast<LevelIndex>(knob.levels.size() - 1)};
  while (std::ssize(chosen) < std::min<std::ptrdiff_t>(count, std::ssize(knob.levels))) {
    LevelIndex farthest = 0;
    double distance = -1;
    for (std::size_t i = 0; i < knob.levels.size(); ++i) {
      const auto level = static_cast<LevelIndex>(i);
      double nearest = std::numeric_limits<double>::infinity();
      for (const LevelIndex other : chosen)
        nearest = std::min(nearest, std::abs(inverse(level) - inverse(other)));
      if (!chosen.contains(level) && nearest > distance) {
        distance = nearest;
        farthest = level;
      }
    }
    chosen.insert(farthest);
  }
  return {chosen.begin(), chosen.end()};
}

std::vector<Levels> combinations(const std::vector<core::Knob>& knobs, int per_rate) {
  std::vector<Levels> all{{}};
  for (const core::Knob& knob : knobs) {
    Levels levels(knob.levels.size());
    for (std::size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<LevelIndex>(i);
    if (per_rate > 0 && is_rate(knob))
      levels = spread_out_levels(knob, per_rate);
    std::vector<Levels> longer;
    for (const Levels& prefix : all)
      for (const LevelIndex level : levels) {
        longer.push_back(prefix);
        longer.back().push_back(level);
      }
    all = std::move(longer);
  }
  return all;
}

core::Result<void> predict_levels(table::HostProfile& host, const device::PowerOf& power,
                                  const device::SliceOf& slice) {
  const std::vector<Levels> all = combinations(host.knobs, 0);
  if (host.settings.size() == all.size())
    return {};
  const Predictor predictor(host, power, slice);
  const auto group_of = [&](Levels levels) {
    for (const std::size_t knob : predictor.rates()) levels[knob] = 0;
    return levels;
  };
  std::map<Levels, Settings> groups;
  for (const table::Setting& setting : host.settings)
    groups[group_of(setting.levels)].push_back(&setting);

  std::vector<double> errors;
  for (const auto& [levels, group] : groups) leave_levels_out(predictor, group, errors);
  double squares = 0;
  std::vector<double> sizes;
  for (const double error : errors) {
    squares += error * error;
    sizes.push_back(std::abs(error));
  }
  std::vector<table::Setting> settings;
  for (const Levels& levels : all) {
    const auto measured =
        std::find_if(host.settings.begin(), host.settings.end(),
                     [&](const table::Setting& setting) { return setting.levels == levels; });
    if (measured != host.settings.end()) {
      settings.push_back(*measured);
      continue;
    }
    const auto group = groups.find(group_of(levels));
    if (group == groups.end() || errors.empty())
      return core::fail(core::Errc::invalid_argument,
                        "too few levels were measured to predict the others and check it",
                        host.name, "measure at least three levels of each frequency or share");
    settings.push_back(predictor.at(levels, group->second));
    settings.back().interval =
        student(errors.size()) * std::sqrt(squares / static_cast<double>(errors.size()));
  }
  host.settings = std::move(settings);
  host.fit.left_out = static_cast<std::uint32_t>(errors.size());
  host.fit.median_relative = median_of(sizes);
  host.fit.worst_relative = *std::max_element(sizes.begin(), sizes.end());
  return {};
}

}  // namespace cleave::inline v0::profiler
