#include "optimizer/rules.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using table::CutProfile;
using table::Profile;

bool is_all_edge(const Profile& profile, std::size_t cut) {
  return cut + 1 == profile.cuts.size();
}

std::string text_of(double bytes) {
  std::array<char, 40> text{};
  const auto [unit, name] = bytes >= 1e9   ? std::pair(1e9, "GB")
                            : bytes >= 1e6 ? std::pair(1e6, "MB")
                            : bytes >= 1e3 ? std::pair(1e3, "kB")
                                           : std::pair(1.0, "B");
  std::snprintf(text.data(), text.size(), "%.4g %s", bytes / unit, name);
  return text.data();
}

std::string number(double value) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

bool names(const std::string& name, const Profile& profile, std::size_t index) {
  const CutProfile& cut = profile.cuts[index];
  if (name == "all-edge")
    return is_all_edge(profile, index);
  if (name == "all-cloud")
    return cut.position == 0;
  return name == to_string(cut.id) || name == cut.layer ||
         (cut.layer.starts_with(name) && cut.layer.size() > name.size() &&
          cut.layer[name.size()] == '.');
}

bool any_names(const std::vector<std::string>& list, const Profile& profile, std::size_t cut) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& name) { return names(name, profile, cut); });
}

Result<void> check_names(const std::vector<std::string>& list, const Profile& profile) {
  for (const std::string& name : list) {
    bool known = false;
    for (std::size_t cut = 0; cut < profile.cuts.size(); ++cut)
      known = known || names(name, profile, cut);
    if (!known)
      return fail(Errc::not_found, "the profile has no cut of this name", name,
                  "name a layer or an id as cleave inspect prints them, all-cloud or all-edge");
  }
  return {};
}

std::string join(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& one : list) text += (text.empty() ? "" : ", ") + one;
  return text;
}

// What a request sends.
double sent(const Profile& profile, const Offer& offer) {
  return is_all_edge(profile, offer.cut)
             ? 0
             : profile.cuts[offer.cut].codecs[offer.codec].encoded.count();
}

// 0 stands for what was not measured, unless there is nothing to run; a merged profile may tell it
// of some cuts only. What is not known fits nowhere.
double edge_memory(const Profile& profile, const Offer& offer) {
  const CutProfile& cut = profile.cuts[offer.cut];
  if (cut.head_memory.count() == 0 && cut.position > 0)
    return Constraints::none;
  return cut.head_memory.count() + sent(profile, offer);
}

double cloud_memory(const Profile& profile, const Offer& offer) {
  if (is_all_edge(profile, offer.cut))
    return 0;
  const CutProfile& cut = profile.cuts[offer.cut];
  return cut.tail_memory.count() == 0 ? Constraints::none
                                      : cut.tail_memory.count() + sent(profile, offer);
}

// Of any cut.
bool memory_known(const Profile& profile, core::Bytes CutProfile::*part) {
  return std::any_of(profile.cuts.begin(), profile.cuts.end(),
                     [part](const CutProfile& cut) { return (cut.*part).count() > 0; });
}

bool input_known(const Profile& profile) {
  return std::all_of(profile.cuts.begin(), profile.cuts.end(),
                     [](const CutProfile& cut) { return cut.input_known; });
}

}  // namespace

Result<Rules> Rules::make(const Profile& profile, const Constraints& c, double accuracy_floor,
                          std::function<double(const Offer&)> accuracy) {
  Rules out;
  const auto at_most = [&](const char* name, const char* asked, core::Bytes limit,
                           double (*cost)(const Profile&, const Offer&)) -> Result<void> {
    if (limit.count() == Constraints::none)
      return {};
    if (!(limit.count() >= 0))
      return fail(Errc::invalid_argument, "a limit must be 0 bytes or more", name);
    out.rules_.push_back({name, asked + text_of(limit.count()),
                          [&profile, limit, cost](const Offer& offer) {
                            return cost(profile, offer) <= limit.count();
                          },
                          [&profile, cost](const std::vector<Offer>& offers) {
                            double least = Constraints::none;
                            for (const Offer& offer : offers)
                              least = std::min(least, cost(profile, offer));
                            return least == Constraints::none ? "none tells what it takes"
                                                              : "the least is " + text_of(least);
                          }});
    return {};
  };
  const auto told = [&](core::Bytes limit, core::Bytes CutProfile::*part) {
    return limit.count() == Constraints::none || memory_known(profile, part);
  };
  if (!told(c.max_edge_memory, &CutProfile::head_memory) ||
      !told(c.max_cloud_memory, &CutProfile::tail_memory))
    return fail(Errc::unsupported, "this profile does not tell what the parts take in memory",
                profile.model_name, "profile the model anew");
  if (c.no_raw_input && !input_known(profile))
    return fail(Errc::unsupported,
                "this profile does not tell at which cuts the network's input crosses",
                profile.model_name,
                "profile the model anew, or ask for a least number of steps on the edge");
  if (auto ok = at_most("edge memory", "takes at most ", c.max_edge_memory, edge_memory); !ok)
    return fail(ok);
  if (auto ok = at_most("cloud memory", "takes at most ", c.max_cloud_memory, cloud_memory); !ok)
    return fail(ok);
  if (auto ok = at_most("largest transfer", "sends at most ", c.max_transfer, sent); !ok)
    return fail(ok);
  if (c.no_raw_input)
    out.rules_.push_back(
        {"no raw input", "keeps the input on the edge", [&profile](const Offer& offer) {
           const CutProfile& cut = profile.cuts[offer.cut];
           return is_all_edge(profile, offer.cut) || (cut.position > 0 && cut.input.count() == 0);
         }});
  if (c.min_edge_steps > c.max_edge_steps)
    return fail(Errc::invalid_argument, "the least number of steps is above the greatest",
                "steps on the edge");
  if (c.min_edge_steps > 0)
    out.rules_.push_back({"least steps on the edge",
                          "runs " + std::to_string(c.min_edge_steps) + " steps or more on the edge",
                          [&profile, least = c.min_edge_steps](const Offer& offer) {
                            return profile.cuts[offer.cut].position >= least;
                          },
                          [&profile](const std::vector<Offer>&) {
                            return "the network has " +
                                   std::to_string(profile.cuts.back().position);
                          }});
  if (c.max_edge_steps < profile.cuts.back().position)
    out.rules_.push_back({"most steps on the edge",
                          "runs at most " + std::to_string(c.max_edge_steps) + " steps on the edge",
                          [&profile, most = c.max_edge_steps](const Offer& offer) {
                            return profile.cuts[offer.cut].position <= most;
                          }});
  for (const auto* list : {&c.allow_cuts, &c.deny_cuts})
    if (auto known = check_names(*list, profile); !known)
      return fail(known);
  if (!c.allow_cuts.empty())
    out.rules_.push_back({"allowed cuts", "is cut at " + join(c.allow_cuts),
                          [&profile, list = c.allow_cuts](const Offer& offer) {
                            return is_all_edge(profile, offer.cut) ||
                                   any_names(list, profile, offer.cut);
                          }});
  if (!c.deny_cuts.empty())
    out.rules_.push_back({"denied cuts", "is not cut at " + join(c.deny_cuts),
                          [&profile, list = c.deny_cuts](const Offer& offer) {
                            return !any_names(list, profile, offer.cut);
                          }});
  if (accuracy_floor > 0)
    out.rules_.push_back({"accuracy floor", "reaches an accuracy of " + number(accuracy_floor),
                          [accuracy, accuracy_floor](const Offer& offer) {
                            return accuracy(offer) >= accuracy_floor;
                          },
                          [accuracy](const std::vector<Offer>& offers) {
                            double best = 0;
                            for (const Offer& offer : offers)
                              best = std::max(best, accuracy(offer));
                            return "the best is " + number(best);
                          }});
  return out;
}

bool Rules::allow(const Offer& offer) const {
  return std::all_of(rules_.begin(), rules_.end(),
                     [&](const Rule& rule) { return rule.allows(offer); });
}

Result<void> Rules::nothing_left(const std::vector<Offer>& offers) const {
  std::string alone, together, where;
  for (const Rule& rule : rules_) {
    const auto left = std::count_if(offers.begin(), offers.end(), rule.allows);
    if (left == 0) {
      alone += (alone.empty() ? "no configuration " : "; none ") + rule.asked;
      if (rule.best)
        alone += " (" + rule.best(offers) + ")";
      where += (where.empty() ? "" : ", ") + rule.name;
    }
    together += (together.empty() ? "" : ", ") + rule.name + " leaves " + std::to_string(left);
  }
  if (!alone.empty())
    return fail(Errc::invalid_argument, alone, where, "ask for less");
  return fail(Errc::invalid_argument,
              "the constraints leave no configuration together, of " +
                  std::to_string(offers.size()) + " cuts with codecs: " + together,
              "constraints", "relax one of them");
}

}  // namespace cleave::inline v0::optimizer
