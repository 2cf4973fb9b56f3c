#include "optimizer/profile_space.hpp"

#include "optimizer/rules.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;

constexpr std::size_t cut_variable = 0, codec_variable = 1, first_knob = 2;

bool fits(const std::vector<LevelIndex>& levels, const std::vector<core::Knob>& knobs) {
  if (levels.size() != knobs.size())
    return false;
  for (std::size_t k = 0; k < knobs.size(); ++k)
    if (levels[k] >= knobs[k].levels.size())
      return false;
  return true;
}

// Whether levels come before the knobs of a point from `at` on.
bool before(const std::vector<LevelIndex>& levels, const Point& point, std::size_t at) {
  for (std::size_t k = 0; k < levels.size(); ++k)
    if (levels[k] != point[at + k])
      return levels[k] < point[at + k];
  return false;
}

// Moves the knobs of `point` from `at` on to the nearest of the settings, counted in levels; the
// first of equally near ones. Another word is one level away.
void snap(Point& point, std::size_t at, const std::vector<core::Knob>& knobs,
          const std::vector<std::vector<LevelIndex>>& settings) {
  const auto here = std::lower_bound(
      settings.begin(), settings.end(), point,
      [at](const auto& levels, const Point& wanted) { return before(levels, wanted, at); });
  if (here != settings.end() &&
      std::equal(here->begin(), here->end(), point.begin() + static_cast<std::ptrdiff_t>(at)))
    return;
  const std::vector<LevelIndex>* nearest = nullptr;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& levels : settings) {
    std::uint64_t distance = 0;
    for (std::size_t k = 0; k < knobs.size(); ++k) {
      const std::uint32_t a = levels[k], b = point[at + k];
      const std::uint32_t apart = a > b ? a - b : b - a;
      distance += knobs[k].categorical ? std::min(apart, 1u) : apart;
    }
    if (distance < least) {
      least = distance;
      nearest = &levels;
    }
  }
  if (nearest != nullptr)
    std::copy(nearest->begin(), nearest->end(), point.begin() + static_cast<std::ptrdiff_t>(at));
}

std::string level_label(const core::Knob& knob, LevelIndex index) {
  const std::string& label = knob.levels[index].label;
  if (label.empty() || label.find_first_not_of("0123456789.") != std::string::npos ||
      knob.unit.empty())
    return label;
  std::string unit = knob.unit;
  if (label == "1" && unit.size() > 1 && unit.back() == 's')
    unit.pop_back();
  return label + " " + unit;
}

std::string setting_label(const std::vector<core::Knob>& knobs,
                          const std::vector<LevelIndex>& levels) {
  std::string text;
  for (std::size_t k = 0; k < knobs.size(); ++k)
    text += (k == 0 ? "" : ", ") + level_label(knobs[k], levels[k]);
  return text;
}

double logarithm(double value) {
  // What costs nothing is as good as it gets, but stays a number.
  return std::log(std::max(value, 1e-12));
}

}  // namespace

Result<ProfileSpace> ProfileSpace::make(const table::Profile& profile,
                                        const ProfileSpaceOptions& options) {
  auto prices = table::PriceList::make(profile);
  if (!prices)
    return fail(prices);
  ProfileSpace space(profile, options, std::move(*prices));
  if (const auto ok = space.find_settings(); !ok)
    return fail(ok);
  if (const auto ok = space.find_open_cuts(); !ok)
    return fail(ok);
  space.number_configurations();
  space.variables_ = {
      {"cut", static_cast<std::uint32_t>(space.cuts_.size()), false},
      {"codec", static_cast<std::uint32_t>(std::max<std::size_t>(1, profile.codecs.size())), true}};
  for (const core::HostIndex h : {core::edge_host, core::cloud_host})
    for (const core::Knob& knob : profile.hosts[h].knobs)
      // A cloud that was never measured leaves all-edge only, whatever its knobs.
      space.variables_.push_back(
          {knob.name,
           static_cast<std::uint32_t>(h == core::cloud_host && space.cloud_settings_.levels.empty()
                                          ? 1
                                          : knob.levels.size()),
           knob.categorical});
  return space;
}

Result<void> ProfileSpace::find_settings() {
  for (const core::HostIndex h : {core::edge_host, core::cloud_host}) {
    for (const core::Knob& knob : host(h).knobs)
      if (knob.levels.empty())
        return fail(Errc::invalid_argument, "the knob " + knob.name + " has no levels",
                    host(h).name, "profile the model anew");
    // Of equal ones the first, as price() takes it.
    std::map<Levels, std::size_t> seen;
    for (std::size_t s = 0; s < host(h).settings.size(); ++s) {
      const Levels& levels = host(h).settings[s].levels;
      if (!fits(levels, host(h).knobs))
        return fail(Errc::invalid_argument, "a setting does not fit the knobs", host(h).name,
                    "profile the model anew");
      seen.emplace(levels, s);
    }
    Settings& settings = h == core::edge_host ? edge_settings_ : cloud_settings_;
    for (const auto& [levels, index] : seen) {
      settings.levels.push_back(levels);
      settings.index.push_back(index);
    }
  }
  if (edge_settings_.levels.empty())
    return fail(Errc::invalid_argument, "the profile has no setting of the edge",
                profile_->model_name, "profile the model anew");
  return {};
}

// The predictor says which codecs may be used where, so that its rules stand in one place; the
// constraints what is left of them.
Result<void> ProfileSpace::find_open_cuts() {
  const auto& cuts = profile_->cuts;
  std::vector<Offer> offers;
  for (std::size_t c = 0; c + 1 < cuts.size() && !cloud_settings_.levels.empty(); ++c)
    for (std::size_t k = 0; k < profile_->codecs.size(); ++k) {
      core::Configuration first;
      first.stages.push_back({core::edge_host, cuts[c].id, edge_settings_.levels[0]});
      first.stages.push_back({core::cloud_host, cuts.back().id, cloud_settings_.levels[0]});
      first.codecs.push_back(profile_->codecs[k]);
      if (table::price(*profile_, first))
        offers.push_back({c, k});
    }
  offers.push_back({cuts.size() - 1, 0});
  const auto accuracy = [&](const Offer& offer) {
    return prices_
        .price(offer.cut, offer.codec, edge_settings_.index[0],
               cloud_settings_.index.empty() ? 0 : cloud_settings_.index[0])
        .accuracy;
  };
  const auto rules = Rules::make(*profile_, options_.constraints, options_.accuracy_floor,
                                 [&](const Offer& offer) { return accuracy(offer).value; });
  if (!rules)
    return fail(rules);

  std::set<double> accuracies;
  bool measured = true;
  for (const Offer& offer : offers) {
    if (!rules->allow(offer))
      continue;
    const bool edge_only = offer.cut + 1 == cuts.size();
    if (cuts_.empty() || cuts_.back().index != offer.cut)
      cuts_.push_back({offer.cut, std::vector<bool>(edge_only ? 0 : profile_->codecs.size())});
    if (!edge_only)
      cuts_.back().codecs[offer.codec] = true;
    const table::Accuracy reached = accuracy(offer);
    accuracies.insert(reached.value);
    measured = measured && reached.basis != table::Accuracy::Basis::none;
  }
  if (cuts_.empty())
    return rules->nothing_left(offers);
  with_accuracy_ = options_.accuracy_objective && measured && accuracies.size() > 1;
  return {};
}

void ProfileSpace::number_configurations() {
  std::uint64_t number = 0;
  const std::uint64_t edge = edge_settings_.levels.size(), cloud = cloud_settings_.levels.size();
  for (std::uint32_t c = 0; c < cuts_.size(); ++c) {
    if (all_edge({c})) {
      blocks_.push_back({number, c, 0});
      number += edge;
    }
    for (std::uint32_t k = 0; k < cuts_[c].codecs.size(); ++k)
      if (cuts_[c].codecs[k]) {
        blocks_.push_back({number, c, k});
        number += edge * cloud;
      }
  }
  blocks_.push_back({number});
}

bool ProfileSpace::all_edge(const Choice& choice) const {
  return cuts_[choice.cut].index + 1 == profile_->cuts.size();
}

bool ProfileSpace::all_cloud(const Choice& choice) const {
  return !all_edge(choice) && profile_->cuts[cuts_[choice.cut].index].position == 0;
}

std::size_t ProfileSpace::first_cloud_knob() const {
  return first_knob + host(core::edge_host).knobs.size();
}

void ProfileSpace::canonicalise(Point& point) const {
  snap(point, first_knob, host(core::edge_host).knobs, edge_settings_.levels);
  if (all_edge({point[cut_variable]})) {
    point[codec_variable] = 0;
    std::fill(point.begin() + static_cast<std::ptrdiff_t>(first_cloud_knob()), point.end(), 0);
  } else {
    const std::vector<bool>& codecs = cuts_[point[cut_variable]].codecs;
    std::uint32_t& codec = point[codec_variable];
    while (!codecs[codec]) codec = (codec + 1) % static_cast<std::uint32_t>(codecs.size());
  }
  snap(point, first_cloud_knob(), host(core::cloud_host).knobs, cloud_settings_.levels);
}

std::uint32_t ProfileSpace::find(const Settings& settings, const Point& point,
                                 std::size_t at) const {
  const auto found = std::lower_bound(
      settings.levels.begin(), settings.levels.end(), point,
      [at](const Levels& levels, const Point& wanted) { return before(levels, wanted, at); });
  return static_cast<std::uint32_t>(found - settings.levels.begin());
}

Choice ProfileSpace::choice(std::uint64_t number) const {
  const auto after = std::upper_bound(
      blocks_.begin(), blocks_.end(), number,
      [](std::uint64_t wanted, const Block& block) { return wanted < block.begin; });
  const Block& block = *std::prev(after);
  const std::uint64_t within = number - block.begin;
  if (all_edge({block.cut}))
    return {block.cut, 0, static_cast<std::uint32_t>(within), 0};
  const std::uint64_t cloud = cloud_settings_.levels.size();
  return {block.cut, block.codec, static_cast<std::uint32_t>(within / cloud),
          static_cast<std::uint32_t>(within % cloud)};
}

Choice ProfileSpace::choice(const Point& point) const {
  Choice out{point[cut_variable], point[codec_variable], find(edge_settings_, point, first_knob),
             0};
  if (!all_edge(out))
    out.cloud = find(cloud_settings_, point, first_cloud_knob());
  return out;
}

Point ProfileSpace::point(const Choice& choice) const {
  Point point(variables_.size(), 0);
  point[cut_variable] = choice.cut;
  point[codec_variable] = choice.codec;
  const Levels& edge = edge_settings_.levels[choice.edge];
  std::copy(edge.begin(), edge.end(), point.begin() + first_knob);
  if (!all_edge(choice)) {
    const Levels& cloud = cloud_settings_.levels[choice.cloud];
    std::copy(cloud.begin(), cloud.end(),
              point.begin() + static_cast<std::ptrdiff_t>(first_cloud_knob()));
  }
  canonicalise(point);
  return point;
}

std::vector<Point> ProfileSpace::suggested() const {
  std::vector<Point> out;
  const auto last = static_cast<std::uint32_t>(cuts_.size() - 1);
  for (std::uint32_t edge = 0; all_edge({last}) && edge < edge_settings_.levels.size(); ++edge)
    out.push_back(point({last, 0, edge, 0}));
  return out;
}

core::Configuration ProfileSpace::configuration(const Choice& choice) const {
  const table::CutProfile& cut = profile_->cuts[cuts_[choice.cut].index];
  // Without a cloud there is nothing to set there; all-edge rows name the setting that zeros mean.
  const Point at = point(choice);
  core::Configuration out;
  out.stages.push_back({core::edge_host, cut.id, edge_settings_.levels[choice.edge], cut.head});
  out.stages.push_back(
      {core::cloud_host, profile_->cuts.back().id,
       Levels(at.begin() + static_cast<std::ptrdiff_t>(first_cloud_knob()), at.end())});
  out.codecs.push_back(profile_->codecs.empty() ? "raw" : profile_->codecs[choice.codec]);
  return out;
}

table::Ingredients ProfileSpace::price(const Choice& choice) const {
  return prices_.price(cuts_[choice.cut].index, choice.codec, edge_settings_.index[choice.edge],
                       all_edge(choice) ? 0 : cloud_settings_.index[choice.cloud]);
}

Cost ProfileSpace::cost(const table::Ingredients& ingredients, const Context& context) const {
  const table::Prediction made = table::compose(ingredients, context.link, context.queue);
  return {logarithm(made.latency.total().count()),
          logarithm(made.energy.total(options_.boundary).count())};
}

double ProfileSpace::accuracy_lost(const table::Ingredients& ingredients) const {
  return with_accuracy_ ? -std::round(ingredients.accuracy.value / options_.accuracy_step) : 0;
}

Objectives ProfileSpace::evaluate(const Point& point) const {
  const table::Ingredients priced = price(choice(point));
  Objectives out;
  out.reserve(options_.contexts.size() * objectives());
  for (const Context& context : options_.contexts) {
    const Cost one = cost(priced, context);
    out.push_back(one.latency);
    out.push_back(one.energy);
    if (with_accuracy_)
      out.push_back(accuracy_lost(priced));
  }
  return out;
}

std::string ProfileSpace::label(const Choice& choice) const {
  const core::Configuration c = configuration(choice);
  const table::CutProfile& cut = profile_->cuts[cuts_[choice.cut].index];
  const std::string edge = setting_label(host(core::edge_host).knobs, c.stages[0].levels);
  std::string text = all_edge(choice)    ? "all on the edge"
                     : all_cloud(choice) ? "all in the cloud, " + c.codec()
                                         : cut.layer + " " + c.codec();
  if (!edge.empty())
    text += " | " + edge;
  if (all_edge(choice))
    return text;
  const std::string cloud = setting_label(host(core::cloud_host).knobs, c.stages[1].levels);
  return cloud.empty() ? text : text + " | cloud " + cloud;
}

}  // namespace cleave::inline v0::optimizer
