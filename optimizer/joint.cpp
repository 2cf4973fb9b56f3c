#include "optimizer/load_search.hpp"
#include "optimizer/profile_space.hpp"

#include <cleave/optimizer/joint.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using Levels = std::vector<core::LevelIndex>;

constexpr double infinity = std::numeric_limits<double>::infinity();
// Some ten seconds of branch and bound.
constexpr std::uint64_t most_steps = 2'000'000'000;

// Of sums by power, those that are less tight than all before.
std::vector<Sum> front_of(std::vector<Sum> sums) {
  std::sort(sums.begin(), sums.end(), cheaper);
  std::vector<Sum> out;
  for (const Sum& sum : sums)
    if (out.empty() || sum.tightness < out.back().tightness)
      out.push_back(sum);
  return out;
}

// A model at one setting of the edge.
struct Offers {
  std::vector<Sum> sums;
  std::vector<Choice> choices;  // by Sum::chosen
  double fastest = infinity;    // whatever the deadline, s
};

Offers offers_of(const ProfileSpace& space, const JointModel& model, const Context& context,
                 core::Boundary boundary, const Levels& levels) {
  Offers out;
  const auto& settings = space.edge_settings();
  const auto edge = static_cast<std::uint32_t>(
      std::lower_bound(settings.begin(), settings.end(), levels) - settings.begin());
  space.each_at(edge, [&](const Choice& choice) {
    const table::Ingredients in = space.price(choice);
    const table::Prediction made = table::compose(in, context.link, context.queue);
    const double latency = made.latency.total().count();
    out.fastest = std::min(out.fastest, latency);
    if (!(latency <= model.deadline.count()))
      return;
    const core::Seconds busy = in.edge_compute + in.encode_first + in.encode_rest;
    const double sending =
        in.uses_cloud && in.up.count() > 0 ? (in.up / context.link.up).count() : 0;
    out.sums.push_back(
        {model.rate * made.energy.total(boundary).count(),
         std::isfinite(model.deadline.count()) ? latency / model.deadline.count() : 0,
         model.rate * busy.count(), model.rate * sending, 0,
         static_cast<std::uint32_t>(out.choices.size())});
    out.choices.push_back(choice);
  });
  return out;
}

double number_at(const ProfileSpace& space) {
  double count = 0;
  space.each_at(0, [&](const Choice&) { count += 1; });
  return count;
}

std::string milliseconds(double seconds) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4g ms", seconds * 1e3);
  return text.data();
}

Result<void> check(std::span<const JointModel> models, const JointOptions& options) {
  if (models.empty())
    return fail(Errc::invalid_argument, "no networks to choose for", "joint optimisation");
  for (const double load : {options.max_edge_load, options.max_link_load})
    if (!(load > 0 && load <= 1))
      return fail(Errc::invalid_argument, "a load must be above 0 and at most 1", "loads");
  for (const JointModel& model : models) {
    if (!(model.rate > 0) || !std::isfinite(model.rate))
      return fail(Errc::invalid_argument, "a rate must be a number above 0",
                  model.profile->model_name);
    if (!(model.deadline.count() > 0))
      return fail(Errc::invalid_argument, "a deadline must be above 0", model.profile->model_name);
    const auto& own = model.profile->hosts[core::edge_host].knobs;
    const auto& first = models[0].profile->hosts[core::edge_host].knobs;
    bool same = own.size() == first.size();
    for (std::size_t k = 0; same && k < own.size(); ++k)
      same = own[k].name == first[k].name && own[k].levels == first[k].levels;
    if (!same)
      return fail(Errc::mismatch, "the edge's knobs are not those of the first profile",
                  model.profile->model_name, "profile both on one device with the same levels");
  }
  return {};
}

class Merger {
 public:
  struct Found {
    Sum sum;
    std::vector<Choice> choices;
  };

  Merger(std::span<const JointModel> models, const std::vector<ProfileSpace>& spaces,
         const Context& context, const JointOptions& options)
      : models_(models), spaces_(spaces), context_(context), options_(options) {}

  // Adds what this setting of the edge allows.
  void at(const Levels& levels) {
    std::vector<Offers> offers;
    for (std::size_t m = 0; m < models_.size(); ++m) {
      offers.push_back(offers_of(spaces_[m], models_[m], context_, options_.boundary, levels));
      fastest_.resize(models_.size(), infinity);
      fastest_[m] = std::min(fastest_[m], offers[m].fastest);
    }
    if (std::any_of(offers.begin(), offers.end(), [](const Offers& o) { return o.sums.empty(); }))
      return;
    in_time_ = true;
    // As if loads did not matter: where that keeps them anyhow, it is the whole truth.
    const std::vector<std::vector<Sum>> layers = merge(offers);
    const bool free = std::all_of(layers.back().begin(), layers.back().end(),
                                  [&](const Sum& sum) { return fits(sum); });
    if (!free) {
      within_loads(offers);
      prune();
      return;
    }
    bound_ = std::min(bound_, layers.back().front().power);
    for (const Sum& sum : layers.back()) {
      std::vector<std::uint32_t> chosen(models_.size());
      Sum walk = sum;
      for (std::size_t m = models_.size(); m-- > 0;) {
        chosen[m] = walk.chosen;
        if (m > 0)
          walk = layers[m - 1][walk.before];
      }
      add(sum, chosen, offers);
    }
    prune();
  }

  [[nodiscard]] const std::vector<Found>& found() const { return found_; }
  [[nodiscard]] double bound() const { return bound_; }
  [[nodiscard]] bool exact() const { return exact_; }
  [[nodiscard]] std::uint64_t combinations() const { return combinations_; }
  [[nodiscard]] const std::vector<double>& fastest() const { return fastest_; }
  // Whether at some setting every network can meet its deadline.
  [[nodiscard]] bool in_time() const { return in_time_; }

 private:
  [[nodiscard]] bool fits(const Sum& sum) const {
    return sum.edge <= options_.max_edge_load && sum.link <= options_.max_link_load;
  }

  void add(const Sum& sum, const std::vector<std::uint32_t>& chosen,
           const std::vector<Offers>& offers) {
    Found found{sum, std::vector<Choice>(models_.size())};
    for (std::size_t m = 0; m < models_.size(); ++m)
      found.choices[m] = offers[m].choices[chosen[m]];
    found_.push_back(std::move(found));
  }

  // Model by model, the sums that are less tight than all that need less.
  std::vector<std::vector<Sum>> merge(const std::vector<Offers>& offers) {
    std::vector<std::vector<Sum>> layers;
    for (const Offers& offer : offers) {
      std::vector<Sum> own = front_of(offer.sums);
      std::vector<Sum> sums;
      if (layers.empty()) {
        sums = std::move(own);
      } else {
        const std::vector<Sum>& before = layers.back();
        sums.reserve(before.size() * own.size());
        for (std::uint32_t b = 0; b < before.size(); ++b)
          for (const Sum& one : own) {
            Sum sum = before[b] + one;
            sum.before = b;
            sum.chosen = one.chosen;
            sums.push_back(sum);
          }
      }
      combinations_ += sums.size();
      layers.push_back(front_of(std::move(sums)));
    }
    return layers;
  }

  // The least power; then the least of all that is less tight; and so on (the epsilon-constraint
  // method). What other settings offer already is not looked for: where this one has nothing
  // better than the found one that is tight enough, the next must be less tight than that.
  void within_loads(const std::vector<Offers>& offers) {
    std::vector<std::vector<Sum>> sums;
    for (const Offers& one : offers) sums.push_back(one.sums);
    LoadSearch search(sums, options_.max_edge_load, options_.max_link_load, options_.stop);
    const std::size_t known = found_.size();
    double tightness = infinity;
    do {
      // By ascending power, descending tightness.
      const auto rival =
          std::find_if(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(known),
                       [&](const Found& found) { return found.sum.tightness < tightness; });
      const bool rivalled = rival != found_.begin() + static_cast<std::ptrdiff_t>(known);
      const std::uint64_t steps = search.steps();
      const LoadSearch::Found best =
          search.find(tightness, rivalled ? rival->sum.power : infinity, steps_left_ / 20);
      steps_left_ -= search.steps() - steps;
      if (tightness == infinity)
        bound_ = std::min(bound_, best.bound);
      exact_ = exact_ && best.exact;
      if (!best.any && !rivalled)
        break;
      tightness = best.any ? best.sum.tightness : rival->sum.tightness;
      if (best.any)
        add(best.sum, best.chosen, offers);
    } while (tightness > 0 && !options_.stop.stop_requested());
    combinations_ += search.steps();
  }

  void prune() {
    std::stable_sort(found_.begin(), found_.end(), [](const Found& a, const Found& b) {
      return std::pair(a.sum.power, a.sum.tightness) < std::pair(b.sum.power, b.sum.tightness);
    });
    std::vector<Found> kept;
    for (Found& one : found_)
      if (kept.empty() || one.sum.tightness < kept.back().sum.tightness)
        kept.push_back(std::move(one));
    found_ = std::move(kept);
  }

  std::span<const JointModel> models_;
  const std::vector<ProfileSpace>& spaces_;
  const Context& context_;
  const JointOptions& options_;
  std::vector<Found> found_;
  std::vector<double> fastest_;  // of each model at any setting
  double bound_ = infinity;
  bool exact_ = true, in_time_ = false;
  std::uint64_t combinations_ = 0;
  std::uint64_t steps_left_ = most_steps;
};

Result<void> nothing_found(std::span<const JointModel> models, const Merger& merger) {
  for (std::size_t m = 0; m < models.size(); ++m)
    if (merger.fastest()[m] > models[m].deadline.count())
      return fail(Errc::invalid_argument,
                  "no configuration of " + models[m].profile->model_name + " meets " +
                      milliseconds(models[m].deadline.count()) + "; the fastest takes " +
                      milliseconds(merger.fastest()[m]),
                  "deadlines", "allow more time");
  return fail(Errc::invalid_argument,
              merger.in_time()
                  ? "the edge or the link would be busier than allowed at any choice that meets "
                    "the deadlines"
                  : "no one setting of the edge lets all networks meet their deadlines",
              merger.in_time() ? "loads" : "deadlines",
              "allow more time, or ask for fewer requests a second");
}

}  // namespace

Result<JointFront> optimize_jointly(std::span<const JointModel> models,
                                    const JointOptions& options) {
  if (const auto ok = check(models, options); !ok)
    return fail(ok);
  const Context context{options.link.value_or(table::link_of(*models[0].profile)), {}};
  std::vector<ProfileSpace> spaces;
  for (const JointModel& model : models) {
    auto space = ProfileSpace::make(*model.profile, {.boundary = options.boundary,
                                                     .accuracy_floor = model.accuracy_floor,
                                                     .accuracy_objective = false,
                                                     .constraints = model.constraints,
                                                     .contexts = {context}});
    if (!space)
      return fail(space);
    spaces.push_back(std::move(*space));
  }
  std::vector<Levels> shared = spaces[0].edge_settings();
  for (const ProfileSpace& space : spaces)
    std::erase_if(shared, [&](const Levels& levels) {
      return !std::binary_search(space.edge_settings().begin(), space.edge_settings().end(),
                                 levels);
    });
  if (shared.empty())
    return fail(Errc::mismatch, "no setting of the edge was measured for all networks",
                models[0].profile->model_name, "profile all of them at the same levels");

  Merger merger(models, spaces, context, options);
  for (const Levels& levels : shared) {
    if (options.stop.stop_requested())
      break;
    merger.at(levels);
  }
  if (merger.found().empty()) {
    if (options.stop.stop_requested())
      return fail(Errc::cancelled, "stopped before anything was found", "joint optimisation");
    return fail(nothing_found(models, merger));
  }

  JointFront out;
  out.bound = core::Watts(merger.bound());
  out.exact = merger.exact() && !options.stop.stop_requested();
  out.combinations = merger.combinations();
  out.space = static_cast<double>(shared.size());
  for (const ProfileSpace& space : spaces) out.space *= number_at(space);
  for (const Merger::Found& found : merger.found()) {
    JointChoice choice;
    choice.power = core::Watts(found.sum.power);
    choice.tightness = found.sum.tightness;
    choice.edge_load = found.sum.edge;
    choice.link_load = found.sum.link;
    for (std::size_t m = 0; m < models.size(); ++m) {
      const ProfileSpace& space = spaces[m];
      const table::Ingredients in = space.price(found.choices[m]);
      const table::Prediction made = table::compose(in, context.link, context.queue);
      choice.rows.push_back({.configuration = space.configuration(found.choices[m]),
                             .ingredients = in,
                             .label = space.label(found.choices[m]),
                             .latency = made.latency.total(),
                             .energy = made.energy.total(options.boundary)});
    }
    out.choices.push_back(std::move(choice));
  }
  return out;
}

}  // namespace cleave::inline v0::optimizer
