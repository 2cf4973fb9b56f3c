#include "lib/table/merge_hosts.hpp"

#include <cleave/table/merge.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

namespace cleave::inline v0::table {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;
using core::Seconds;
using Levels = std::vector<LevelIndex>;

std::string hint_for(const std::string& side) {
  return "say which profile gives the " + side + "'s half (--" + side + "-from)";
}

Result<void> require_one_machine(const std::vector<HalfOf>& halves, const std::string& side) {
  const HalfOf& first = halves.front();
  for (const HalfOf& half : halves) {
    if (!half.host->made_on.known())
      return fail(Errc::mismatch,
                  "it does not tell where the " + side +
                      "'s half was measured, so that it cannot be pooled with another",
                  half.name, hint_for(side));
    if (half.host->made_on != first.host->made_on)
      return fail(Errc::mismatch,
                  "the " + side + "'s half was measured on " + to_string(half.host->made_on) +
                      "; that of " + first.name + " on " + to_string(first.host->made_on),
                  half.name, hint_for(side));
    if (half.host->board != first.host->board || half.host->source != first.host->source)
      return fail(Errc::mismatch,
                  "the " + side + "'s watts come from elsewhere than those of " + first.name +
                      ": " + half.host->source + "; " + first.host->source,
                  half.name, hint_for(side));
  }
  return {};
}

const core::Knob* find_knob(const HostProfile& host, const std::string& name) {
  const auto found = std::find_if(host.knobs.begin(), host.knobs.end(),
                                  [&](const core::Knob& knob) { return knob.name == name; });
  return found == host.knobs.end() ? nullptr : &*found;
}

bool same_level(const core::Knob& knob, const core::Level& a, const core::Level& b) {
  return knob.categorical ? a.label == b.label : a.value == b.value;
}

// All levels that any half has of the knob.
Result<core::Knob> unite_knob(const core::Knob& first, const std::vector<HalfOf>& halves,
                              const std::string& side) {
  core::Knob out = first;
  out.levels.clear();
  double cost = 0, measured_costs = 0;
  for (const HalfOf& half : halves) {
    const core::Knob* knob = find_knob(*half.host, first.name);
    if (knob == nullptr || knob->unit != first.unit || knob->categorical != first.categorical ||
        half.host->knobs.size() != halves.front().host->knobs.size())
      return fail(Errc::mismatch, "the " + side + " has other knobs than in " + halves.front().name,
                  half.name, hint_for(side));
    if (knob->switch_cost > Seconds(0)) {
      cost += knob->switch_cost.count();
      ++measured_costs;
    }
    for (const core::Level& level : knob->levels) {
      const auto same =
          std::find_if(out.levels.begin(), out.levels.end(),
                       [&](const core::Level& other) { return same_level(first, level, other); });
      if (same == out.levels.end())
        out.levels.push_back(level);
      else
        same->label = std::min(same->label, level.label);
    }
  }
  if (!out.categorical)
    std::sort(out.levels.begin(), out.levels.end(),
              [](const auto& a, const auto& b) { return a.value < b.value; });
  out.switch_cost = Seconds(measured_costs > 0 ? cost / measured_costs : 0);
  if (out.levels.size() > std::numeric_limits<LevelIndex>::max())
    return fail(Errc::exhausted, "too many levels together", first.name);
  return out;
}

// The levels of a half's setting as the united knobs number them.
Levels translate(const Setting& setting, const HostProfile& from,
                 const std::vector<core::Knob>& knobs) {
  Levels out;
  for (const core::Knob& knob : knobs) {
    std::size_t at = 0;
    while (from.knobs[at].name != knob.name) ++at;
    const core::Level& level = from.knobs[at].levels[setting.levels[at]];
    const auto found =
        std::find_if(knob.levels.begin(), knob.levels.end(),
                     [&](const core::Level& other) { return same_level(knob, level, other); });
    out.push_back(static_cast<LevelIndex>(found - knob.levels.begin()));
  }
  return out;
}

Setting with_codecs(Setting setting, const HalfOf& half) {
  std::vector<CodecCost> kept;
  for (const std::size_t codec : half.codecs) kept.push_back(setting.codecs[codec]);
  setting.codecs = std::move(kept);
  return setting;
}

// Weighted means of what several measurements of one setting say.
class Weighted {
 public:
  explicit Weighted(const std::vector<Setting>& settings) : settings_(settings) {
    for (const Setting& setting : settings) weights_.push_back(setting.whole.samples);
    for (const double weight : weights_) sum_ += weight;
    if (sum_ == 0) {
      weights_.assign(weights_.size(), 1);
      sum_ = static_cast<double>(weights_.size());
    }
  }
  template <class Value>
  [[nodiscard]] double mean(Value&& value) const {
    double total = 0;
    for (std::size_t i = 0; i < settings_.size(); ++i)
      total += weights_[i] / sum_ * value(settings_[i]);
    return total;
  }

 private:
  const std::vector<Setting>& settings_;
  std::vector<double> weights_;
  double sum_ = 0;
};

// Measurements of one setting as one.
Result<Setting> pool_settings(const std::vector<Setting>& settings, const std::string& side) {
  Setting out = settings.front();
  if (settings.size() == 1)
    return out;
  const Weighted weighted(settings);
  const auto pooled = [&](auto&& timing_of) {
    std::vector<Timing> parts;
    for (const Setting& setting : settings) parts.push_back(timing_of(setting));
    return pool(parts);
  };
  out.whole = pooled([](const Setting& s) { return s.whole; });
  for (std::size_t i = 0; i < out.steps.size(); ++i) {
    out.steps[i] = pooled([i](const Setting& s) { return s.steps[i]; });
    out.steps[i].mean =
        Seconds(weighted.mean([i](const Setting& s) { return s.steps[i].mean.count(); }));
  }
  for (std::size_t c = 0; c < out.codecs.size(); ++c) {
    const auto of = [&](auto&& value) {
      return weighted.mean([&](const Setting& s) { return value(s.codecs[c]); });
    };
    CodecCost& cost = out.codecs[c];
    cost.encode_fixed = Seconds(of([](const auto& codec) { return codec.encode_fixed.count(); }));
    cost.decode_fixed = Seconds(of([](const auto& codec) { return codec.decode_fixed.count(); }));
    cost.encode_per_byte = of([](const auto& codec) { return codec.encode_per_byte; });
    cost.decode_per_byte = of([](const auto& codec) { return codec.decode_per_byte; });
    cost.spread = std::sqrt(of([](const auto& codec) { return codec.spread * codec.spread; }));
  }
  out.exchange = pooled([](const Setting& s) { return s.exchange; });
  out.in_requests = Seconds(weighted.mean([](const Setting& s) { return s.in_requests.count(); }));
  out.outliers = 0;
  for (const Setting& setting : settings) out.outliers += setting.outliers;
  for (const Setting& setting : settings) {
    const auto watts = [](const Setting& s) {
      return std::tie(s.power_origin, s.busy, s.idle, s.machine_busy);
    };
    if (setting.power_origin != out.power_origin ||
        (out.power_origin == core::Origin::modelled && watts(setting) != watts(out)))
      return fail(Errc::mismatch, "the same setting has other watts in another profile", side,
                  hint_for(side));
  }
  if (out.power_origin == core::Origin::measured) {
    out.busy = core::Watts(weighted.mean([](const Setting& s) { return s.busy.count(); }));
    out.idle = core::Watts(weighted.mean([](const Setting& s) { return s.idle.count(); }));
    out.machine_busy =
        core::Watts(weighted.mean([](const Setting& s) { return s.machine_busy.count(); }));
  }
  return out;
}

// A total order of predictions, the narrowest interval first.
bool narrower(const Setting& a, const Setting& b) {
  if (a.interval != b.interval)
    return a.interval < b.interval;
  return std::lexicographical_compare(
      a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(),
      [](const Timing& x, const Timing& y) { return x.mean < y.mean; });
}

// What went on beside all of the measurements: means over the time that they took, the worst of the
// worst.
Conditions unite_conditions(const std::vector<HalfOf>& halves) {
  Conditions out;
  const auto mean = [&](double Conditions::*what) {
    double sum = 0, time = 0;
    for (const HalfOf& half : halves)
      if (const Conditions& seen = half.host->conditions; seen.*what >= 0) {
        sum += seen.*what * seen.took.count();
        time += seen.took.count();
      }
    return time > 0 ? sum / time : -1;
  };
  out.steal = mean(&Conditions::steal);
  out.others = mean(&Conditions::others);
  for (const HalfOf& half : halves) {
    const Conditions& seen = half.host->conditions;
    out.busiest = std::max(out.busiest, seen.busiest);
    out.temperature = std::max(out.temperature, seen.temperature);
    out.waited += seen.waited;
    out.took += seen.took;
  }
  return out;
}

double least_pass(const std::vector<Setting>& settings) {
  double least = 0;
  for (const Setting& setting : settings)
    if (const double time = setting.whole.mean.count(); time > 0 && (least == 0 || time < least))
      least = time;
  return least;
}

// CrossingCost is that of the fastest setting, and of others in proportion to their passes: so its
// parts of a pass are averaged, by how many passes the profiles that tell it measured.
CrossingCost unite_crossings(const std::vector<HalfOf>& halves, double pass) {
  double fixed = 0, per_byte = 0, weights = 0;
  for (const HalfOf& half : halves) {
    const CrossingCost& cost = half.host->crossing;
    const double own = least_pass(half.host->settings);
    if (cost == CrossingCost() || own == 0)
      continue;
    double weight = 0;
    for (const Setting& setting : half.host->settings) weight += setting.whole.samples;
    weight = std::max(weight, 1.0);
    fixed += weight * cost.fixed.count() / own;
    per_byte += weight * cost.per_byte / own;
    weights += weight;
  }
  if (weights == 0)
    return {};
  return {Seconds(fixed / weights * pass), per_byte / weights * pass};
}

struct Predicted {
  Setting setting;
  std::size_t half = 0;
};

}  // namespace

core::Result<HostProfile> unite_halves(const std::vector<HalfOf>& halves, const std::string& side,
                                       std::vector<std::string>& notes) {
  HostProfile out = *halves.front().host;
  if (halves.size() == 1) {
    for (Setting& setting : out.settings) setting = with_codecs(setting, halves.front());
    return out;
  }
  if (auto one = require_one_machine(halves, side); !one)
    return fail(one);
  for (core::Knob& knob : out.knobs) {
    auto united = unite_knob(knob, halves, side);
    if (!united)
      return fail(united);
    knob = std::move(*united);
  }

  std::map<Levels, std::vector<Setting>> measured;
  std::map<Levels, Predicted> predicted;
  for (std::size_t h = 0; h < halves.size(); ++h)
    for (const Setting& setting : halves[h].host->settings) {
      Setting moved = with_codecs(setting, halves[h]);
      moved.levels = translate(setting, *halves[h].host, out.knobs);
      if (!setting.predicted) {
        measured[moved.levels].push_back(std::move(moved));
        continue;
      }
      const auto [at, added] = predicted.try_emplace(moved.levels, Predicted{moved, h});
      if (!added && narrower(moved, at->second.setting))
        at->second = {std::move(moved), h};
    }
  const std::size_t predictions = predicted.size();
  std::erase_if(predicted, [&](const auto& entry) { return measured.contains(entry.first); });

  out.conditions = unite_conditions(halves);

  std::map<Levels, Setting> all;
  std::size_t in_several = 0;
  for (const auto& [levels, found] : measured) {
    in_several += found.size() > 1 ? 1 : 0;
    auto setting = pool_settings(found, side);
    if (!setting)
      return fail(setting);
    all.emplace(levels, std::move(*setting));
  }
  out.fit = {};
  std::set<std::size_t> predicting;
  for (const auto& [levels, found] : predicted) {
    all.emplace(levels, found.setting);
    predicting.insert(found.half);
  }
  for (const std::size_t h : predicting) {
    const LevelFit& fit = halves[h].host->fit;
    out.fit.left_out += fit.left_out;
    out.fit.median_relative = std::max(out.fit.median_relative, fit.median_relative);
    out.fit.worst_relative = std::max(out.fit.worst_relative, fit.worst_relative);
  }
  // Exchanges went over each profile's own link: of settings that not all of them measured they
  // cannot be set against one another.
  const bool everywhere =
      predicted.empty() && std::all_of(measured.begin(), measured.end(), [&](const auto& entry) {
        return entry.second.size() == halves.size();
      });
  bool exchanges = false;
  out.settings.clear();
  for (auto& [levels, setting] : all) {
    exchanges = exchanges || setting.exchange.samples > 0;
    if (!everywhere)
      setting.exchange = {};
    out.settings.push_back(std::move(setting));
  }

  out.crossing = unite_crossings(halves, least_pass(out.settings));

  notes.push_back("the " + side + "'s halves of " + std::to_string(halves.size()) +
                  " profiles are united: " + std::to_string(out.settings.size()) + " settings, " +
                  std::to_string(in_several) + " of them pooled");
  if (exchanges && !everywhere)
    notes.push_back("dropped: what a request takes beyond its parts at each setting of the " +
                    side + ", since not every profile measured all of them");
  if (const std::size_t gone = predictions - predicted.size(); gone > 0)
    notes.push_back("dropped: " + std::to_string(gone) + " predicted settings of the " + side +
                    " that another profile measured");
  return out;
}

}  // namespace cleave::inline v0::table
