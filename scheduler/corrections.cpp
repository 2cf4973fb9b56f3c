#include "scheduler/corrections.hpp"

#include "scheduler/normal.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/core/hash.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <tuple>

namespace cleave::inline v0::scheduler {
namespace {

using core::Seconds;

// Parts below this are clock resolution; their ratio says nothing.
constexpr Seconds shortest_part = core::microseconds(5);

Seconds moving(const table::LatencyParts& t) {
  return t.encode + t.transfer + t.decode + t.round_trip + t.reply + t.overhead;
}

// Of what a row is, not of what it was measured to cost: that may be measured anew.
std::uint64_t digest_of(const table::ParetoTable& table) {
  std::vector<std::byte> text;
  core::ByteWriter writer(text);
  writer.put(table.model.structure);
  for (const table::TableRow& row : table.rows) {
    for (const core::Stage& stage : row.configuration.stages) {
      writer.put(stage.end.value);
      for (const core::LevelIndex level : stage.levels) writer.put(level);
    }
    for (const std::string& codec : row.configuration.codecs) writer.put_string(codec);
  }
  return core::hash_bytes(text);
}

}  // namespace

table::Ingredients corrected(const table::Ingredients& in, const Factors& factors) {
  table::Ingredients out = in;
  out.edge_compute = in.edge_compute * factors.edge;
  out.cloud_compute = in.cloud_compute * factors.cloud;
  out.encode_first = in.encode_first * factors.move;
  out.encode_rest = in.encode_rest * factors.move;
  out.decode_rest = in.decode_rest * factors.move;
  out.decode_last = in.decode_last * factors.move;
  out.overhead = in.overhead * factors.move;
  out.edge_busy = in.edge_busy * factors.power;
  out.edge_idle = in.edge_idle * factors.power;
  out.transmit = in.transmit * factors.power;
  out.receive = in.receive * factors.power;
  return out;
}

table::LinkState corrected(const table::LinkState& link, const Factors& factors) {
  return {.round_trip = link.round_trip * factors.move,
          .up = link.up / factors.move,
          .down = link.down / factors.move};
}

Corrections::Corrections(const table::ParetoTable& table, const LearningOptions& options,
                         double confidence)
    : options_(options),
      confidence_(confidence),
      deviations_(normal_quantile(confidence)),
      keep_(std::exp2(-1 / options.half_life)),
      keep_row_(std::exp2(-1 / options.row_half_life)),
      table_(digest_of(table)),
      rows_(table.rows.size()),
      where_(table.rows.size()),
      factors_(table.rows.size()) {
  std::map<std::vector<core::LevelIndex>, std::uint32_t> edges, clouds;
  const auto index_of = [](auto& seen, const std::vector<core::LevelIndex>& levels) {
    return seen.emplace(levels, static_cast<std::uint32_t>(seen.size())).first->second;
  };
  const auto belief = [](double deviation) {
    return Belief{.mean = 0, .variance = deviation * deviation, .prior = deviation * deviation};
  };
  const Belief shared = belief(options.shared_deviation);
  // The same part of the network on the same host's setting.
  using Work = std::tuple<bool, std::uint64_t, std::vector<core::LevelIndex>, double>;
  std::map<Work, std::uint32_t> works;
  std::uint32_t errors = 0;
  const auto error_of = [&](Work work) {
    const auto [found, fresh] = works.emplace(std::move(work), errors);
    errors += fresh ? 1 : 0;
    return found->second;
  };
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const table::TableRow& row = table.rows[i];
    const auto& stages = row.configuration.stages;
    const std::uint64_t cut = stages[0].end.value;
    Where& where = where_[i];
    where.edge_setting = index_of(edges, stages[0].levels);
    where.cloud_setting = index_of(clouds, stages[1].levels);
    where.edge = error_of({true, cut, stages[0].levels, row.ingredients.edge_compute.count()});
    where.cloud = error_of({false, cut, stages[1].levels, row.ingredients.cloud_compute.count()});
    where.move = errors++;
    rows_[i].uses_cloud = row.ingredients.uses_cloud;
    rows_[i].spread = row.ingredients.spread;
  }
  own_errors_.assign(errors, {.belief = belief(options.row_deviation)});
  own_factors_.assign(errors, 1);
  edge_settings_.assign(edges.size(), shared);
  cloud_settings_.assign(clouds.size(), shared);
  std::vector<std::size_t> on_edge(edges.size()), in_cloud(clouds.size());
  for (const Where& row : where_) {
    ++on_edge[row.edge_setting];
    ++in_cloud[row.cloud_setting];
  }
  for (std::size_t i = 0; i < on_edge.size(); ++i)
    if (on_edge[i] == 1)
      edge_settings_[i] = belief(0);
  for (std::size_t i = 0; i < in_cloud.size(); ++i)
    if (in_cloud[i] == 1)
      cloud_settings_[i] = belief(0);
  link_ = shared;
  all_power_ = belief(options.power_deviation);
  power_.assign(edges.size(), all_power_);
  edge_factors_.resize(edges.size());
  cloud_factors_.resize(clouds.size());
  power_factors_.resize(edges.size());
  update_shared();
}

void Corrections::drift(Belief& belief, double keep_mean) const {
  belief.mean *= keep_mean;
  belief.variance = belief.prior + (belief.variance - belief.prior) * keep_ * keep_;
}

// What drift() would have made of it, request by request.
Corrections::OwnError Corrections::drifted(const OwnError& error) const {
  OwnError out = error;
  const auto requests = static_cast<double>(requests_ - error.drifted);
  Belief& belief = out.belief;
  belief.mean *= std::pow(keep_row_, requests);
  belief.variance = belief.prior + (belief.variance - belief.prior) * std::pow(keep_, 2 * requests);
  out.drifted = requests_;
  return out;
}

void Corrections::settle(std::uint32_t index) {
  OwnError& error = own_errors_[index];
  if (error.drifted != requests_)
    error = drifted(error);
  own_factors_[index] = std::exp(error.belief.mean);
}

void Corrections::settle_some() {
  constexpr std::uint32_t few = 16;  // which take no time
  const double lag = std::max(1.0, options_.row_half_life / 1000);
  const auto errors = static_cast<std::uint32_t>(own_errors_.size());
  const auto count =
      std::min(errors, std::max(few, static_cast<std::uint32_t>(std::ceil(errors / lag))));
  for (std::uint32_t i = 0; i < count; ++i) {
    if (own_errors_[next_to_settle_].touched)
      settle(next_to_settle_);
    next_to_settle_ = next_to_settle_ + 1 < errors ? next_to_settle_ + 1 : 0;
  }
}

void Corrections::link_moved() {
  constexpr std::uint64_t last = 10;
  const auto forget = [](Belief& belief) {
    belief.mean = 0;
    belief.variance = belief.prior;
    belief.surprise = 0;
  };
  forget(link_);
  for (std::size_t i = 0; i < rows_.size(); ++i)
    if (rows_[i].touched && requests_ - rows_[i].tried < last) {
      forget(own_errors_[where_[i].move].belief);
      own_factors_[where_[i].move] = 1;
    }
}

void Corrections::learn(Belief& own, Belief& shared, std::uint32_t who, double predicted,
                        double measured, double noise) {
  if (!(predicted > 0) || !(measured > 0) || !std::isfinite(measured) || !std::isfinite(predicted))
    return;
  const double surprise = std::log(measured / predicted) - own.mean - shared.mean;
  const double unsure = options_.row_deviation * options_.row_deviation;
  double total = own.variance + shared.variance + noise * noise;
  const int way = std::abs(surprise) <= 3 * std::sqrt(total) ? 0 : surprise > 0 ? 1 : -1;
  if (way != 0 && way == shared.surprise && who != shared.surprised_by && shared.prior > 0) {
    shared.variance = std::max(shared.variance, unsure);
    total = own.variance + shared.variance + noise * noise;
  }
  shared.surprise = way;
  shared.surprised_by = who;
  const double limit = 3 * std::sqrt(total);
  const double error = std::clamp(surprise, -limit, limit);
  const double own_gain = own.variance / total;
  const double shared_gain = shared.variance / total;
  const double largest = std::log(options_.largest_factor);
  own.mean = std::clamp(own.mean + own_gain * error, -largest, largest);
  shared.mean = std::clamp(shared.mean + shared_gain * error, -largest, largest);
  own.variance *= 1 - own_gain;
  shared.variance *= 1 - shared_gain;
  if (error != surprise)
    own.variance = std::max(own.variance, unsure / 4);
}

void Corrections::observe(std::uint32_t index, const table::LatencyParts& predicted,
                          const table::LatencyParts& measured) {
  for (Belief& belief : edge_settings_) drift(belief, keep_);
  for (Belief& belief : cloud_settings_) drift(belief, keep_);
  drift(link_, keep_);
  for (Belief& belief : power_) drift(belief, keep_row_);
  drift(all_power_, keep_row_);
  if (look(index).any())
    looked_ = requests_ + 1;
  ++requests_;
  settle_some();

  RowState& row = rows_[index];
  const Where& where = where_[index];
  const double noise = std::max(options_.noise, row.spread);
  const Factors before = factors_[index];
  row.touched = true;
  row.tried = requests_;
  const auto learn_time = [&](std::uint32_t own, Belief& shared, Seconds expected, Seconds took) {
    if (expected < shortest_part)
      return;
    settle(own);
    OwnError& error = own_errors_[own];
    error.touched = true;
    error.seen = requests_;
    learn(error.belief, shared, own, expected.count(), took.count(), noise);
    settle(own);
  };
  learn_time(where.edge, edge_settings_[where.edge_setting], predicted.edge_compute,
             measured.edge_compute);
  if (row.uses_cloud) {
    learn_time(where.move, link_, moving(predicted), moving(measured));
    learn_time(where.cloud, cloud_settings_[where.cloud_setting], predicted.cloud_compute,
               measured.cloud_compute);
  }
  update_factors();

  // How far off the corrected prediction was; the queue is known, not predicted.
  const Seconds expected = predicted.edge_compute * before.edge + moving(predicted) * before.move +
                           predicted.cloud_compute * before.cloud;
  const Seconds took = measured.edge_compute + moving(measured) + measured.cloud_compute;
  if (expected >= shortest_part && took.count() > 0 && std::isfinite(took.count()))
    (row.uses_cloud ? in_cloud_ : on_edge_)
        .add(std::min(took / expected, options_.largest_factor) - 1, confidence_);
}

void Corrections::observe_energy(std::uint32_t index, core::Joules modelled,
                                 core::Joules measured) {
  const RowState& row = rows_[index];
  learn(power_[where_[index].edge_setting], all_power_, index, modelled.count(), measured.count(),
        std::max(options_.noise, row.spread));
  update_factors();
}

void Corrections::Residuals::add(double value, double confidence) {
  if (values.size() < window)
    values.push_back(value);
  else
    values[next] = value;
  next = (next + 1) % window;
  find_quantile(confidence);
}

void Corrections::Residuals::find_quantile(double confidence) {
  if (values.empty())
    return;
  // The k-th of n is exceeded by the next one with probability 1 - k/(n + 1).
  const auto k =
      static_cast<std::size_t>(std::ceil(confidence * static_cast<double>(values.size() + 1)));
  std::array<double, window> sorted;
  std::copy(values.begin(), values.end(), sorted.begin());
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(values.size());
  const auto kth = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(k, values.size())) - 1;
  std::nth_element(sorted.begin(), kth, end);
  quantile = std::max(0.0, *kth);
}

double Corrections::margin(std::uint32_t index) const {
  // After so many requests the profile's spread counts no more.
  constexpr double enough = Residuals::window / 2.0;
  const RowState& row = rows_[index];
  const Residuals& seen = row.uses_cloud ? in_cloud_ : on_edge_;
  const double learnt = std::min(1.0, static_cast<double>(seen.values.size()) / enough);
  return (1 - learnt) * deviations_ * row.spread + learnt * seen.quantile;
}

Look Corrections::look(std::uint32_t index) const {
  // Less than this is noise.
  constexpr double worse = 1.05;
  // Who is late anyway pays little for a look, but for being later still: one of many slow rows at
  // a time.
  constexpr double sooner = 8, apart = 40;
  const RowState& row = rows_[index];
  const auto since = [this](std::uint64_t then) { return static_cast<double>(requests_ - then); };
  if (!options_.explore || !row.touched || since(row.tried) < options_.half_life / sooner)
    return {};
  const Where& where = where_[index];
  const auto found_worse = [&](std::uint32_t error) {
    return own_factors_[error] > worse && old_news(error, row);
  };
  if (!found_worse(where.edge) && !found_worse(where.move) && !found_worse(where.cloud))
    return {};
  return {.if_late = since(looked_) >= options_.half_life / apart,
          .if_time = since(row.tried) >= options_.half_life};
}

Factors Corrections::hopeful(std::uint32_t index) const {
  const Where& where = where_[index];
  const auto known = [&](std::uint32_t error) {
    return old_news(error, rows_[index]) ? 1.0 : own_factors_[error];
  };
  return bounded({.edge = edge_factors_[where.edge_setting] * known(where.edge),
                  .move = link_factor_,
                  .cloud = cloud_factors_[where.cloud_setting] * known(where.cloud),
                  .power = power_factors_[where.edge_setting]});
}

Factors Corrections::bounded(const Factors& factors) const {
  const double largest = options_.largest_factor;
  const auto bound = [&](double value) { return std::clamp(value, 1 / largest, largest); };
  return {.edge = bound(factors.edge),
          .move = bound(factors.move),
          .cloud = bound(factors.cloud),
          .power = bound(factors.power)};
}

void Corrections::update_shared() {
  const auto factor = [](const Belief& belief) { return std::exp(belief.mean); };
  std::transform(edge_settings_.begin(), edge_settings_.end(), edge_factors_.begin(), factor);
  std::transform(cloud_settings_.begin(), cloud_settings_.end(), cloud_factors_.begin(), factor);
  std::transform(power_.begin(), power_.end(), power_factors_.begin(),
                 [&](const Belief& belief) { return std::exp(belief.mean + all_power_.mean); });
  link_factor_ = factor(link_);
}

void Corrections::update_factors() {
  update_shared();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Where& where = where_[i];
    factors_[i] = bounded({.edge = edge_factors_[where.edge_setting] * own_factors_[where.edge],
                           .move = link_factor_ * own_factors_[where.move],
                           .cloud = cloud_factors_[where.cloud_setting] * own_factors_[where.cloud],
                           .power = power_factors_[where.edge_setting]});
  }
}

}  // namespace cleave::inline v0::scheduler
