#include "optimizer/profile_space.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <set>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::LevelIndex;
using core::Result;

constexpr std::size_t cut_variable = 0, codec_variable = 1, first_knob = 2;

std::vector<std::vector<LevelIndex>> distinct_settings(const table::HostProfile& host) {
  std::set<std::vector<LevelIndex>> seen;
  for (const table::Setting& setting : host.settings) seen.insert(setting.levels);
  return {seen.begin(), seen.end()};
}

bool fits(const std::vector<LevelIndex>& levels, const std::vector<core::Knob>& knobs) {
  if (levels.size() != knobs.size())
    return false;
  for (std::size_t k = 0; k < knobs.size(); ++k)
    if (levels[k] >= knobs[k].levels.size())
      return false;
  return true;
}

// Moves the knobs of `point` from `at` on to the nearest of the settings, counted in levels; the
// first of equally near ones. Another word is one level away.
void snap(Point& point, std::size_t at, const std::vector<core::Knob>& knobs,
          const std::vector<std::vector<LevelIndex>>& settings) {
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
    if (least == 0)
      break;
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
  if (profile.cuts.empty())
    return fail(Errc::invalid_argument, "the profile has no cuts", profile.model_name,
                "profile the model anew");
  ProfileSpace space(profile, options);
  if (const auto ok = space.find_settings(); !ok)
    return fail(ok);
  if (const auto ok = space.find_open_cuts(); !ok)
    return fail(ok);
  space.variables_ = {
      {"cut", static_cast<std::uint32_t>(space.cuts_.size()), false},
      {"codec", static_cast<std::uint32_t>(std::max<std::size_t>(1, profile.codecs.size())), true}};
  for (const core::HostIndex h : {core::edge_host, core::cloud_host})
    for (const core::Knob& knob : profile.hosts[h].knobs)
      // A cloud that was never measured leaves all-edge only, whatever its knobs.
      space.variables_.push_back(
          {knob.name,
           static_cast<std::uint32_t>(
               h == core::cloud_host && space.cloud_settings_.empty() ? 1 : knob.levels.size()),
           knob.categorical});
  return space;
}

Result<void> ProfileSpace::find_settings() {
  edge_settings_ = distinct_settings(host(core::edge_host));
  cloud_settings_ = distinct_settings(host(core::cloud_host));
  if (edge_settings_.empty())
    return fail(Errc::invalid_argument, "the profile has no setting of the edge",
                profile_->model_name, "profile the model anew");
  const auto check = [&](const auto& settings, core::HostIndex h) -> Result<void> {
    for (const core::Knob& knob : host(h).knobs)
      if (knob.levels.empty())
        return fail(Errc::invalid_argument, "the knob " + knob.name + " has no levels",
                    host(h).name, "profile the model anew");
    for (const Levels& levels : settings)
      if (!fits(levels, host(h).knobs))
        return fail(Errc::invalid_argument, "a setting does not fit the knobs", host(h).name,
                    "profile the model anew");
    return {};
  };
  if (const auto ok = check(edge_settings_, core::edge_host); !ok)
    return ok;
  return check(cloud_settings_, core::cloud_host);
}

// The predictor says what is allowed, so that its rules stand in one place: it is asked once per
// cut and codec, then once per setting.
Result<void> ProfileSpace::find_open_cuts() {
  const auto& cuts = profile_->cuts;
  std::set<double> accuracies;
  double best_accuracy = 0;
  bool measured = true;
  const auto admit = [&](const table::Ingredients& in) {
    best_accuracy = std::max(best_accuracy, in.accuracy.value);
    if (in.accuracy.value < options_.accuracy_floor)
      return false;
    accuracies.insert(in.accuracy.value);
    measured = measured && in.accuracy.basis != table::Accuracy::Basis::none;
    return true;
  };

  for (const Levels& edge : edge_settings_) {
    const auto priced = table::price(
        *profile_, configure(cuts.back(), profile_->codecs.empty() ? "raw" : profile_->codecs[0],
                             edge, cloud_settings_.empty() ? Levels() : cloud_settings_[0]));
    if (!priced)
      return fail(Errc::invalid_argument, priced.error().what, priced.error().where,
                  "the profile is inconsistent: profile the model anew");
    if (&edge == &edge_settings_.front() && admit(*priced))
      cuts_.push_back({cuts.size() - 1, {}});
  }
  std::vector<OpenCut> divided;
  for (std::size_t c = 0; c + 1 < cuts.size() && !cloud_settings_.empty(); ++c) {
    OpenCut open{c, std::vector<bool>(profile_->codecs.size(), false)};
    std::optional<std::size_t> priced_codec;
    for (std::size_t k = 0; k < profile_->codecs.size(); ++k) {
      const auto priced = table::price(*profile_, configure(cuts[c], profile_->codecs[k],
                                                            edge_settings_[0], cloud_settings_[0]));
      if (priced && admit(*priced)) {
        open.codecs[k] = true;
        priced_codec = k;
      }
    }
    if (!priced_codec)
      continue;
    // Steps and codecs of every setting must fit; one cut tells.
    if (divided.empty())
      for (const Levels& cloud : cloud_settings_)
        if (const auto priced = table::price(
                *profile_,
                configure(cuts[c], profile_->codecs[*priced_codec], edge_settings_[0], cloud));
            !priced)
          return fail(Errc::invalid_argument, priced.error().what, priced.error().where,
                      "the profile is inconsistent: profile the model anew");
    divided.push_back(std::move(open));
  }
  // By position, all-edge last.
  cuts_.insert(cuts_.begin(), divided.begin(), divided.end());
  if (cuts_.empty())
    return fail(Errc::invalid_argument,
                "no configuration reaches an accuracy of " +
                    std::to_string(options_.accuracy_floor) + "; the best is " +
                    std::to_string(best_accuracy),
                "accuracy floor", "ask for less");
  with_accuracy_ = options_.accuracy_objective && measured && accuracies.size() > 1;
  return {};
}

bool ProfileSpace::all_edge(const Point& point) const {
  return cuts_[point[cut_variable]].index + 1 == profile_->cuts.size();
}

bool ProfileSpace::all_cloud(const Point& point) const {
  return !all_edge(point) && profile_->cuts[cuts_[point[cut_variable]].index].position == 0;
}

void ProfileSpace::canonicalise(Point& point) const {
  const std::size_t first_cloud_knob = first_knob + host(core::edge_host).knobs.size();
  snap(point, first_knob, host(core::edge_host).knobs, edge_settings_);
  if (all_edge(point)) {
    point[codec_variable] = 0;
    std::fill(point.begin() + static_cast<std::ptrdiff_t>(first_cloud_knob), point.end(), 0);
    snap(point, first_cloud_knob, host(core::cloud_host).knobs, cloud_settings_);
    return;
  }
  const std::vector<bool>& codecs = cuts_[point[cut_variable]].codecs;
  std::uint32_t& codec = point[codec_variable];
  while (!codecs[codec]) codec = (codec + 1) % static_cast<std::uint32_t>(codecs.size());
  snap(point, first_cloud_knob, host(core::cloud_host).knobs, cloud_settings_);
}

std::uint64_t ProfileSpace::size() const {
  std::uint64_t size = 0;
  for (const OpenCut& cut : cuts_) {
    const bool edge_only = cut.index + 1 == profile_->cuts.size();
    const auto codecs =
        static_cast<std::uint64_t>(std::count(cut.codecs.begin(), cut.codecs.end(), true));
    size +=
        edge_only ? edge_settings_.size() : codecs * edge_settings_.size() * cloud_settings_.size();
  }
  return size;
}

std::vector<Point> ProfileSpace::suggested() const {
  if (cuts_.back().index + 1 != profile_->cuts.size())
    return {};
  std::vector<Point> out;
  for (const Levels& levels : edge_settings_) {
    Point point(variables_.size(), 0);
    point[cut_variable] = static_cast<std::uint32_t>(cuts_.size() - 1);
    std::copy(levels.begin(), levels.end(), point.begin() + first_knob);
    canonicalise(point);
    out.push_back(std::move(point));
  }
  return out;
}

core::Configuration ProfileSpace::configure(const table::CutProfile& cut, const std::string& codec,
                                            const Levels& edge, const Levels& cloud) const {
  core::Configuration out;
  out.stages.push_back({core::edge_host, cut.id, edge, cut.head});
  out.stages.push_back({core::cloud_host, profile_->cuts.back().id, cloud});
  out.codecs.push_back(codec);
  return out;
}

core::Configuration ProfileSpace::configuration(const Point& point) const {
  const auto edge = point.begin() + first_knob;
  const auto cloud = edge + static_cast<std::ptrdiff_t>(host(core::edge_host).knobs.size());
  return configure(profile_->cuts[cuts_[point[cut_variable]].index],
                   profile_->codecs.empty() ? "raw" : profile_->codecs[point[codec_variable]],
                   Levels(edge, cloud), Levels(cloud, point.end()));
}

Result<table::Ingredients> ProfileSpace::price(const Point& point) const {
  return table::price(*profile_, configuration(point));
}

Objectives ProfileSpace::evaluate(const Point& point) const {
  const auto priced = price(point);
  Objectives out;
  for (const Context& context : options_.contexts) {
    if (!priced) {
      // make() has seen every part priced; should the whole fail all the same, it is never chosen.
      out.resize(out.size() + objectives(), std::numeric_limits<double>::infinity());
      continue;
    }
    const table::Prediction made = table::compose(*priced, context.link, context.queue);
    out.push_back(logarithm(made.latency.total().count()));
    out.push_back(logarithm(made.energy.total(options_.boundary).count()));
    if (with_accuracy_)
      out.push_back(-std::round(priced->accuracy.value / options_.accuracy_step));
  }
  return out;
}

std::string ProfileSpace::label(const Point& point) const {
  const core::Configuration c = configuration(point);
  const table::CutProfile& cut = profile_->cuts[cuts_[point[cut_variable]].index];
  const std::string edge = setting_label(host(core::edge_host).knobs, c.stages[0].levels);
  std::string text = all_edge(point)    ? "all on the edge"
                     : all_cloud(point) ? "all in the cloud, " + c.codec()
                                        : cut.layer + " " + c.codec();
  if (!edge.empty())
    text += " | " + edge;
  if (all_edge(point))
    return text;
  const std::string cloud = setting_label(host(core::cloud_host).knobs, c.stages[1].levels);
  return cloud.empty() ? text : text + " | cloud " + cloud;
}

}  // namespace cleave::inline v0::optimizer
