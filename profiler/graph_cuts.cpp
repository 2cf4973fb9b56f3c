#include "profiler/graph_cuts.hpp"

#include <cleave/table/predictor.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

namespace cleave::inline v0::profiler {
namespace {

using core::StepSet;

// Of many settings the fastest, the slowest, and some between.
std::vector<const table::Setting*> some_of(const table::HostProfile& host, std::size_t most) {
  std::vector<const table::Setting*> settings;
  for (const table::Setting& setting : host.settings) settings.push_back(&setting);
  std::stable_sort(settings.begin(), settings.end(),
                   [](const auto* a, const auto* b) { return a->whole.mean < b->whole.mean; });
  if (settings.size() <= most)
    return settings;
  std::vector<const table::Setting*> some;
  for (std::size_t i = 0; i < most; ++i)
    some.push_back(settings[i * (settings.size() - 1) / (most - 1)]);
  return some;
}

constexpr std::size_t most_edge_settings = 8, most_cloud_settings = 4;
constexpr double weights_of_energy[] = {0, 0.25, 0.5, 0.75, 1};
constexpr core::Boundary boundaries[] = {core::Boundary::edge, core::Boundary::edge_cloud_device,
                                         core::Boundary::edge_cloud_machine};

// What each codec leaves of a byte, over all cuts.
std::vector<double> codec_shares(const table::Profile& profile) {
  std::vector<double> shares;
  for (std::size_t c = 0; c < profile.codecs.size(); ++c) {
    double encoded = 0, raw = 0;
    for (const table::CutProfile& cut : profile.cuts) {
      if (c >= cut.codecs.size())
        continue;
      encoded += cut.codecs[c].encoded.count();
      raw += cut.raw.count();
    }
    shares.push_back(raw > 0 ? encoded / raw : 1);
  }
  return shares;
}

double cloud_power(const table::Setting& cloud, core::Boundary boundary) {
  switch (boundary) {
    case core::Boundary::edge:
      return 0;
    case core::Boundary::edge_cloud_device:
      return std::max(0.0, (cloud.busy - cloud.idle).count());
    case core::Boundary::edge_cloud_machine:
      return cloud.machine_busy.count();
  }
  return 0;
}

// The costs at one pair of settings, in units of a busy second of the edge: how dear a second in
// the cloud is against it depends on the weight of energy, and so does a byte.
struct Exchange {
  double least_cloud = std::numeric_limits<double>::infinity(), most_cloud = 0;
  double least_byte = std::numeric_limits<double>::infinity(), most_byte = 0;
};

Exchange exchange_of(const table::Profile& profile, const table::Setting& edge,
                     const table::Setting& cloud, const std::vector<double>& shares,
                     const CutRange& range) {
  Exchange result;
  const double unit = edge.busy.count() > 0 ? edge.busy.count() : 1;
  const double radio = profile.hosts[core::edge_host].transmit.count();
  for (const double w : weights_of_energy)
    for (const core::Boundary boundary : boundaries) {
      const double on_edge = (1 - w) + w * edge.busy.count() / unit;
      if (on_edge <= 0)
        continue;
      const double waiting = (1 - w) + w * edge.idle.count() / unit;
      const double in_cloud = waiting + w * cloud_power(cloud, boundary) / unit;
      result.least_cloud = std::min(result.least_cloud, in_cloud / on_edge);
      result.most_cloud = std::max(result.most_cloud, in_cloud / on_edge);
      for (std::size_t c = 0; c < shares.size(); ++c)
        for (const double factor : {1 / range.bandwidth, range.bandwidth}) {
          const double rate = profile.link.up.count() * factor;
          if (rate <= 0)
            continue;
          const double byte = shares[c] * (waiting / rate + w * radio / unit) +
                              edge.codecs[c].encode_per_byte * on_edge +
                              cloud.codecs[c].decode_per_byte * in_cloud;
          result.least_byte = std::min(result.least_byte, byte / on_edge);
          result.most_byte = std::max(result.most_byte, byte / on_edge);
        }
    }
  return result;
}

}  // namespace

std::vector<CutCosts> costs_of(const table::Profile& profile, const CutRange& range) {
  std::vector<CutCosts> result;
  const auto shares = codec_shares(profile);
  for (const auto* edge : some_of(profile.hosts[core::edge_host], most_edge_settings))
    for (const auto* cloud : some_of(profile.hosts[core::cloud_host], most_cloud_settings)) {
      const Exchange exchange = exchange_of(profile, *edge, *cloud, shares, range);
      if (!(exchange.most_byte >= exchange.least_byte))
        continue;
      const double ratio = exchange.least_cloud > 0 ? exchange.most_cloud / exchange.least_cloud
                                                    : std::numeric_limits<double>::infinity();
      const int between = ratio < 1.02 ? 1 : 5;
      for (int i = 0; i < between; ++i) {
        const double share = between == 1 ? 0 : static_cast<double>(i) / (between - 1);
        const double dear = exchange.least_cloud > 0 ? exchange.least_cloud * std::pow(ratio, share)
                                                     : exchange.most_cloud * share;
        CutCosts costs;
        for (const table::Timing& step : edge->steps) costs.edge.push_back(step.mean.count());
        for (const table::Timing& step : cloud->steps)
          costs.cloud.push_back(step.mean.count() * dear);
        costs.least_per_byte = exchange.least_byte;
        costs.most_per_byte = exchange.most_byte;
        result.push_back(std::move(costs));
      }
    }
  return result;
}

namespace {

// A cut's cost as a line over the price of a byte.
struct Line {
  double compute = 0, bytes = 0;
  [[nodiscard]] double at(double per_byte) const { return compute + per_byte * bytes; }
};

// The lines of the profile's prefixes at these costs; the last runs wholly on the edge.
std::vector<Line> prefixes(const table::Profile& profile, const CutCosts& costs) {
  std::vector<Line> lines;
  double compute = 0;
  for (const double cost : costs.cloud) compute += cost;
  std::uint32_t step = 0;
  for (const table::CutProfile& cut : profile.cuts) {
    if (!cut.head.empty())
      continue;
    for (; step < cut.position; ++step) compute += costs.edge[step] - costs.cloud[step];
    const bool all_edge = cut.id == profile.cuts.back().id;
    lines.push_back({compute, all_edge ? 0 : cut.raw.count()});
  }
  return lines;
}

// Found heads beyond so many are measured only if they gain more than these.
constexpr std::size_t most_heads = 32;

}  // namespace

core::Result<OptimalCuts> cuts_across_branches(const core::StepGraph& graph,
                                               const table::Profile& profile, const CutRange& range,
                                               std::stop_token stop) {
  const auto costs = costs_of(profile, range);
  auto found = optimal_cuts(graph, costs, std::move(stop));
  if (!found)
    return core::fail(found);
  std::vector<std::pair<double, StepSet>> gains;
  std::vector<double> bytes;
  for (StepSet& head : found->heads) {
    if (core::is_prefix(core::ranges_of(head)))
      continue;
    bytes.push_back(core::bytes_across(graph, head).count());
    gains.emplace_back(0, std::move(head));
  }
  constexpr int points = 25;
  for (const CutCosts& one : costs) {
    if (gains.empty())
      break;
    const auto known = prefixes(profile, one);
    std::vector<Line> lines;
    for (std::size_t h = 0; h < gains.size(); ++h) {
      Line line{0, bytes[h]};
      for (std::size_t step = 0; step < graph.steps; ++step)
        line.compute += gains[h].second[step] ? one.edge[step] : one.cloud[step];
      lines.push_back(line);
    }
    for (int i = 0; i < points; ++i) {
      const double per_byte = one.least_per_byte * std::pow(one.most_per_byte / one.least_per_byte,
                                                            static_cast<double>(i) / (points - 1));
      double least = std::numeric_limits<double>::infinity();
      for (const Line& line : known) least = std::min(least, line.at(per_byte));
      for (std::size_t h = 0; h < gains.size(); ++h)
        gains[h].first = std::max(gains[h].first, 1 - lines[h].at(per_byte) / least);
    }
  }
  std::erase_if(gains, [&](const auto& gain) { return !(gain.first > range.gain); });
  std::stable_sort(gains.begin(), gains.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  gains.resize(std::min(gains.size(), most_heads));
  found->heads.clear();
  for (auto& [gain, head] : gains) found->heads.push_back(std::move(head));
  return found;
}

namespace {

// A cut with a codec at one point of the parameters.
struct Offer {
  std::size_t cut = 0;
  std::size_t accuracy = 0;  // rank among the distinct ones, 0 the lowest
  double latency = 0, energy = 0;
};

// Of so much of accuracy no account is taken, as in the search for configurations.
constexpr double accuracy_step = 0.005;

// As much slower, hungrier or less right as does not count.
bool covers(const Offer& kept, const Offer& other, double margin) {
  return kept.accuracy >= other.accuracy && kept.latency <= other.latency * (1 + margin) &&
         kept.energy <= other.energy * (1 + margin);
}

class Keeper {
 public:
  Keeper(const table::Profile& profile, const CutRange& range)
      : profile_(profile), range_(range), keep_(profile.cuts.size(), false) {
    keep_.front() = keep_.back() = true;
  }

  std::vector<bool> run() {
    const auto edges = some_of(profile_.hosts[core::edge_host], most_edge_settings);
    const auto clouds = some_of(profile_.hosts[core::cloud_host], most_cloud_settings);
    if (clouds.empty())
      return std::vector<bool>(keep_.size(), true);
    // First all that must be kept, so that the rest can lean on them.
    for (const bool cheapest : {true, false})
      for (const auto* edge : edges)
        for (const auto* cloud : clouds) {
          const auto priced = price_all(*edge, *cloud);
          for (const double factor : bandwidths())
            for (const core::Boundary boundary : boundaries) {
              std::vector<Offer> offers = front(compose_all(priced, factor, boundary));
              if (cheapest)
                keep_cheapest(offers);
              else
                keep_cover(offers);
            }
        }
    return keep_;
  }

 private:
  struct Priced {
    std::size_t cut = 0;
    table::Ingredients ingredients;
  };

  [[nodiscard]] std::vector<double> bandwidths() const {
    constexpr int count = 9;
    std::vector<double> factors;
    for (int i = 0; i < count; ++i)
      factors.push_back(std::pow(range_.bandwidth, 2.0 * i / (count - 1) - 1));
    return factors;
  }

  std::vector<Priced> price_all(const table::Setting& edge, const table::Setting& cloud) {
    std::vector<Priced> priced;
    core::Configuration configuration;
    configuration.codecs.resize(1);
    for (std::size_t c = 0; c < profile_.cuts.size(); ++c) {
      const table::CutProfile& cut = profile_.cuts[c];
      configuration.stages = {{core::edge_host, cut.id, edge.levels, cut.head},
                              {core::cloud_host, profile_.cuts.back().id, cloud.levels}};
      for (const std::string& codec : profile_.codecs) {
        configuration.codecs[0] = codec;
        if (auto ingredients = table::price(profile_, configuration))
          priced.push_back({c, std::move(*ingredients)});
        if (c + 1 == profile_.cuts.size())
          break;
      }
    }
    return priced;
  }

  std::vector<Offer> compose_all(const std::vector<Priced>& priced, double factor,
                                 core::Boundary boundary) const {
    table::LinkState link = table::link_of(profile_);
    link.up = link.up * factor;
    link.down = link.down * factor;
    std::map<long, std::size_t> ranks;
    const auto steps = [](const table::Ingredients& in) {
      return std::lround(in.accuracy.value / accuracy_step);
    };
    for (const auto& [cut, in] : priced) ranks[steps(in)] = 0;
    std::size_t rank = 0;
    for (auto& [value, at] : ranks) at = rank++;
    std::vector<Offer> offers;
    for (const auto& [cut, in] : priced) {
      const table::Prediction made = table::compose(in, link, core::Seconds());
      const Offer offer{cut, ranks[steps(in)], made.latency.total().count(),
                        made.energy.total(boundary).count()};
      if (std::isfinite(offer.latency) && std::isfinite(offer.energy))
        offers.push_back(offer);
    }
    return offers;
  }

  // Without those that another is at least as good as in everything.
  static std::vector<Offer> front(std::vector<Offer> offers) {
    std::stable_sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) {
      return std::tie(a.latency, a.energy, b.accuracy) < std::tie(b.latency, b.energy, a.accuracy);
    });
    std::vector<double> least_energy;  // so far, by rank of accuracy
    std::vector<Offer> front;
    for (const Offer& offer : offers) {
      if (least_energy.size() <= offer.accuracy)
        least_energy.resize(offer.accuracy + 1, std::numeric_limits<double>::infinity());
      if (offer.energy >=
          *std::min_element(least_energy.begin() + static_cast<std::ptrdiff_t>(offer.accuracy),
                            least_energy.end()))
        continue;
      least_energy[offer.accuracy] = offer.energy;
      front.push_back(offer);
    }
    return front;
  }

  // For every floor on accuracy the corners of the lower hull: each is the cheapest for some
  // weight, and no other is.
  void keep_cheapest(const std::vector<Offer>& offers) {
    std::set<std::size_t> floors;
    for (const Offer& offer : offers) floors.insert(offer.accuracy);
    for (const std::size_t floor : floors) {
      std::vector<const Offer*> hull;
      for (const Offer& offer : offers) {  // ascending by latency
        if (offer.accuracy < floor || (!hull.empty() && offer.energy >= hull.back()->energy))
          continue;
        while (hull.size() > 1 && !corner(*hull[hull.size() - 2], *hull.back(), offer))
          hull.pop_back();
        hull.push_back(&offer);
      }
      for (const Offer* offer : hull) keep_[offer->cut] = true;
    }
  }

  static bool corner(const Offer& a, const Offer& b, const Offer& c) {
    const double turn = (b.latency - a.latency) * (c.energy - a.energy) -
                        (b.energy - a.energy) * (c.latency - a.latency);
    return turn > 1e-9 * std::abs((c.latency - a.latency) * (c.energy - a.energy));
  }

  void keep_cover(const std::vector<Offer>& offers) {
    std::vector<Offer> kept;
    for (const Offer& offer : offers) {
      if (keep_[offer.cut])
        kept.push_back(offer);
    }
    for (const Offer& offer : offers) {
      const auto covered = [&](const Offer& by) { return covers(by, offer, range_.margin); };
      if (std::any_of(kept.begin(), kept.end(), covered))
        continue;
      // Of those that would do, the one whose index has the most factors of two: by whatever order
      // the cuts come up, different points of the parameters then agree on the same few.
      const Offer* chosen = &offer;
      for (const Offer& other : offers) {
        if (covers(other, offer, range_.margin) &&
            std::countr_zero(other.cut) > std::countr_zero(chosen->cut))
          chosen = &other;
      }
      keep_[chosen->cut] = true;
      for (const Offer& other : offers) {
        if (other.cut == chosen->cut)
          kept.push_back(other);
      }
    }
  }

  const table::Profile& profile_;
  const CutRange& range_;
  std::vector<bool> keep_;
};

}  // namespace

std::vector<bool> cuts_to_keep(const table::Profile& profile, const CutRange& range) {
  return Keeper(profile, range).run();
}

}  // namespace cleave::inline v0::profiler
