#include "optimizer/link_range.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

using table::LinkState;

constexpr std::size_t most_links = 400;
// A margin of nothing would divide for ever.
constexpr double least_margin = 0.01;

// By logarithms; of bandwidths those up, and down in the reference's proportion.
struct Point2 {
  double rate = 0, trip = 0;
};

class Scale {
 public:
  Scale(const LinkRange& range, const LinkState& reference)
      : proportion_(reference.down / reference.up) {
    low_ = {std::log(range.least.count()), logarithm(range.shortest)};
    high_ = {std::log(range.most.count()), logarithm(range.longest)};
  }
  [[nodiscard]] Point2 low() const { return low_; }
  [[nodiscard]] Point2 high() const { return high_; }
  [[nodiscard]] LinkState at(Point2 point) const {
    const core::BytesPerSecond up(std::exp(point.rate));
    return {core::Seconds(std::exp(point.trip)), up, up * proportion_};
  }

 private:
  // Below a microsecond a round trip does not matter.
  static double logarithm(core::Seconds time) { return std::log(std::max(time.count(), 1e-6)); }

  double proportion_;
  Point2 low_, high_;
};

struct Cell {
  Point2 low, high;
  [[nodiscard]] double width() const { return high.rate - low.rate; }
  [[nodiscard]] double height() const { return high.trip - low.trip; }
  [[nodiscard]] Point2 middle() const {
    return {(low.rate + high.rate) / 2, (low.trip + high.trip) / 2};
  }
  // Halves, or quarters where both sides are long; nothing narrower than a percent.
  [[nodiscard]] std::vector<Cell> parts() const {
    const Point2 m = middle();
    std::vector<Cell> out = {*this};
    const auto split = [&](bool by_rate) {
      std::vector<Cell> halves;
      for (const Cell& cell : out) {
        Cell one = cell, other = cell;
        (by_rate ? one.high.rate : one.high.trip) = by_rate ? m.rate : m.trip;
        (by_rate ? other.low.rate : other.low.trip) = by_rate ? m.rate : m.trip;
        halves.insert(halves.end(), {one, other});
      }
      out = std::move(halves);
    };
    if (width() > 0.01 && width() >= height() / 2)
      split(true);
    if (height() > 0.01 && height() >= width() / 2)
      split(false);
    return out.size() > 1 ? out : std::vector<Cell>();
  }
};

std::vector<Context> contexts_at(const Scale& scale, const std::vector<Cell>& cells) {
  std::vector<Context> out;
  for (const Cell& cell : cells) out.push_back({scale.at(cell.middle()), core::Seconds()});
  return out;
}

}  // namespace

std::vector<LinkState> outline(const LinkRange& range, const LinkState& reference) {
  const Scale scale(range, reference);
  const auto steps = [](double low, double high) {
    return high - low < 0.01 ? std::vector<double>{low}
                             : std::vector<double>{low, (low + high) / 2, high};
  };
  std::vector<LinkState> out;
  for (const double rate : steps(scale.low().rate, scale.high().rate))
    for (const double trip : steps(scale.low().trip, scale.high().trip))
      out.push_back(scale.at({rate, trip}));
  return out;
}

std::vector<LinkState> covering_links(ProfileSpace& space, const Looked& looked,
                                      const LinkRange& range, double margin, unsigned threads) {
  const std::vector<Context> before = space.options().contexts;
  const Scale scale(range, before.front().link);
  const double enough = std::log1p(std::max(margin, least_margin)) / 2;
  std::vector<LinkState> links = outline(range, before.front().link);

  std::vector<table::Ingredients> pool;
  std::unordered_set<std::uint64_t> pooled;
  const auto take = [&](const Stairs& front) {
    for (const Member& member : front.members())
      if (pooled.insert(member.number).second)
        pool.push_back(space.price(looked[member.number]));
  };
  std::vector<Context> contexts;
  for (const LinkState& link : links) contexts.push_back({link, core::Seconds()});
  space.set_contexts(contexts);
  for (const Stairs& front : sweep(looked, threads).fronts) take(front);

  std::vector<Cell> open = Cell{scale.low(), scale.high()}.parts();
  while (!open.empty() && links.size() < most_links) {
    contexts = contexts_at(scale, open);
    space.set_contexts(contexts);
    const SweptFronts swept = sweep(looked, threads);
    std::vector<Cell> next;
    for (std::size_t c = 0; c < open.size() && links.size() < most_links; ++c) {
      Stairs cover;
      for (const table::Ingredients& priced : pool)
        cover.add({space.cost(priced, contexts[c]), space.accuracy_lost(priced), 0});
      const auto covered = [&](const Member& member) {
        return cover.reaches({member.cost.latency + enough, member.cost.energy + enough},
                             member.lost);
      };
      const std::vector<Member> front = swept.fronts[c].members();
      if (std::all_of(front.begin(), front.end(), covered))
        continue;
      links.push_back(contexts[c].link);
      take(swept.fronts[c]);
      const std::vector<Cell> parts = open[c].parts();
      next.insert(next.end(), parts.begin(), parts.end());
    }
    open = std::move(next);
  }
  space.set_contexts(before);
  return links;
}

}  // namespace cleave::inline v0::optimizer
