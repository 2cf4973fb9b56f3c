#include "optimizer/load_search.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace cleave::inline v0::optimizer {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Those that no other is better than in all four.
std::vector<Sum> undominated(std::vector<Sum> sums) {
  std::sort(sums.begin(), sums.end(), cheaper);
  std::vector<Sum> out;
  for (const Sum& sum : sums)
    if (std::none_of(out.begin(), out.end(), [&](const Sum& o) {
          return o.tightness <= sum.tightness && o.edge <= sum.edge && o.link <= sum.link;
        }))
      out.push_back(sum);
  return out;
}

}  // namespace

bool cheaper(const Sum& a, const Sum& b) {
  return std::tie(a.power, a.tightness, a.edge, a.link) <
         std::tie(b.power, b.tightness, b.edge, b.link);
}

Sum operator+(const Sum& a, const Sum& b) {
  return {a.power + b.power, std::max(a.tightness, b.tightness), a.edge + b.edge, a.link + b.link};
}

LoadSearch::LoadSearch(const std::vector<std::vector<Sum>>& offers, double max_edge,
                       double max_link, std::stop_token stop)
    : active_(offers.size()),
      rest_(offers.size() + 1),
      path_(offers.size()),
      max_edge_(max_edge),
      max_link_(max_link),
      stop_(std::move(stop)) {
  for (const std::vector<Sum>& some : offers) all_.push_back(undominated(some));
}

// What no choice undercuts at these prices, and the loads of the choice that it comes from.
double LoadSearch::dual(double of_edge, double of_link, double& edge, double& link) const {
  double sum = -of_edge * max_edge_ - of_link * max_link_;
  edge = link = 0;
  for (const std::vector<Offer>& offers : active_) {
    double least = infinity;
    const Sum* best = nullptr;
    for (const Offer& offer : offers) {
      const double priced = offer.sum.power + of_edge * offer.sum.edge + of_link * offer.sum.link;
      if (priced < least) {
        least = priced;
        best = &offer.sum;
      }
    }
    sum += least;
    edge += best->edge;
    link += best->link;
  }
  return sum;
}

// From the last prices on; gives the bound at the best ones.
double LoadSearch::raise_prices(double power) {
  constexpr int rounds = 150, patience = 10;
  double of_edge = of_edge_, of_link = of_link_, best = -infinity, reach = 1;
  int waited = 0;
  for (int round = 0; round < rounds; ++round) {
    double edge = 0, link = 0;
    const double bound = dual(of_edge, of_link, edge, link);
    if (bound > best) {
      best = bound;
      of_edge_ = of_edge;
      of_link_ = of_link;
      waited = 0;
    } else if (++waited == patience) {
      reach /= 2;
      waited = 0;
      of_edge = of_edge_;
      of_link = of_link_;
      continue;
    }
    // A price falls to nothing where its load leaves room.
    const double more_edge = of_edge > 0 || edge > max_edge_ ? edge - max_edge_ : 0;
    const double more_link = of_link > 0 || link > max_link_ ? link - max_link_ : 0;
    const double square = more_edge * more_edge + more_link * more_link;
    if (square == 0)
      break;
    const double target = std::isfinite(power) ? power : best + 0.1 * std::abs(best);
    const double step = reach * std::max(target - bound, 1e-6 * std::abs(bound)) / square;
    of_edge = std::max(0.0, of_edge + step * more_edge);
    of_link = std::max(0.0, of_link + step * more_link);
  }
  return best;
}

void LoadSearch::branch(std::size_t model, const Sum& sum, Found& best) {
  if (model == active_.size()) {
    best.any = true;
    best.sum = sum;
    best.chosen = path_;
    limit_ = sum.power;
    return;
  }
  const Rest& later = rest_[model + 1];
  const double spent = sum.power + of_edge_ * (sum.edge - max_edge_) +
                       of_link_ * (sum.link - max_link_) + later.priced;
  for (const Offer& offer : active_[model]) {
    if (spent + offer.priced >= limit_)
      return;  // and so all after it
    if (++steps_ > last_step_ || (steps_ % 65'536 == 0 && stop_.stop_requested())) {
      best.exact = false;
      last_step_ = 0;
      return;
    }
    const Sum next = sum + offer.sum;
    if (next.edge + later.edge > max_edge_ || next.link + later.link > max_link_ ||
        next.power >= limit_)
      continue;
    path_[model] = offer.sum.chosen;
    branch(model + 1, next, best);
    if (!best.exact)
      return;
  }
}

LoadSearch::Found LoadSearch::find(double tightness, double power, std::uint64_t most_steps) {
  Found best;
  best.bound = infinity;
  for (std::size_t m = 0; m < all_.size(); ++m) {
    active_[m].clear();
    for (const Sum& sum : all_[m])
      if (sum.tightness < tightness)
        active_[m].push_back({sum});
    if (active_[m].empty())
      return best;
  }
  for (std::size_t m = active_.size(); m-- > 0;) {
    double edge = infinity, link = infinity;
    for (const Offer& offer : active_[m]) {
      edge = std::min(edge, offer.sum.edge);
      link = std::min(link, offer.sum.link);
    }
    rest_[m].edge = rest_[m + 1].edge + edge;
    rest_[m].link = rest_[m + 1].link + link;
  }
  if (rest_[0].edge > max_edge_ || rest_[0].link > max_link_)
    return best;
  best.bound = raise_prices(power);
  if (best.bound >= power)
    return best;
  for (std::size_t m = active_.size(); m-- > 0;) {
    for (Offer& offer : active_[m])
      offer.priced = offer.sum.power + of_edge_ * offer.sum.edge + of_link_ * offer.sum.link;
    std::sort(active_[m].begin(), active_[m].end(),
              [](const Offer& a, const Offer& b) { return a.priced < b.priced; });
    rest_[m].priced = rest_[m + 1].priced + active_[m].front().priced;
  }
  limit_ = power;
  last_step_ = steps_ + most_steps;
  branch(0, {}, best);
  if (best.exact)
    best.bound = limit_;
  return best;
}

}  // namespace cleave::inline v0::optimizer
