#include "optimizer/sweep.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <thread>
#include <unordered_set>

namespace cleave::inline v0::optimizer {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::size_t reports = 20;

// What one thread finds in its share.
struct Found {
  explicit Found(std::size_t contexts) : fronts(contexts) {}

  struct Anchor {
    double value = infinity;
    std::uint64_t number = 0;
    void offer(double other, std::uint64_t of) {
      if (other < value) {
        value = other;
        number = of;
      }
    }
  };
  std::vector<Stairs> fronts;
  Stairs edge_front;
  std::array<double, 3> best{infinity, infinity, infinity};
  std::array<double, 3> worst{-infinity, -infinity, -infinity};
  std::array<Anchor, 4> anchors;  // all-edge by latency and energy, all-cloud by the same

  void look(const ProfileSpace& space, const Choice& choice, std::uint64_t number) {
    const table::Ingredients priced = space.price(choice);
    const double lost = space.accuracy_lost(priced);
    const auto& contexts = space.options().contexts;
    for (std::size_t c = 0; c < contexts.size(); ++c) {
      const Cost cost = space.cost(priced, contexts[c]);
      fronts[c].add({cost, lost, number});
      if (c != 0)
        continue;
      const std::array values{cost.latency, cost.energy, lost};
      for (std::size_t k = 0; k < values.size(); ++k)
        if (std::isfinite(values[k])) {
          best[k] = std::min(best[k], values[k]);
          worst[k] = std::max(worst[k], values[k]);
        }
      const bool edge = space.all_edge(choice);
      if (edge)
        edge_front.add({cost, lost, number});
      if (edge || space.all_cloud(choice))
        for (const std::size_t k : {0u, 1u}) anchors[(edge ? 0 : 2) + k].offer(values[k], number);
    }
  }
  // Takes in what was found after it.
  void join(const Found& later) {
    for (std::size_t c = 0; c < fronts.size(); ++c)
      for (const Member& member : later.fronts[c].members()) fronts[c].add(member);
    for (const Member& member : later.edge_front.members()) edge_front.add(member);
    for (std::size_t k = 0; k < best.size(); ++k) {
      best[k] = std::min(best[k], later.best[k]);
      worst[k] = std::max(worst[k], later.worst[k]);
    }
    for (std::size_t a = 0; a < anchors.size(); ++a)
      anchors[a].offer(later.anchors[a].value, later.anchors[a].number);
  }
};

// Calls work(share, begin, end) for consecutive shares of [from, to), each on a thread of its own.
template <class Work>
void in_shares(std::uint64_t from, std::uint64_t to, unsigned threads, const Work& work) {
  const std::uint64_t shares = std::clamp<std::uint64_t>((to - from) / 1000, 1, threads);
  const auto bound = [&](std::uint64_t share) { return from + (to - from) * share / shares; };
  std::vector<std::jthread> pool;
  for (std::uint64_t share = 1; share < shares; ++share)
    pool.emplace_back([&, share] { work(share, bound(share), bound(share + 1)); });
  work(0, bound(0), bound(1));
}

void publish(const Found& all, std::uint64_t count, std::size_t objectives, SweptFronts& out) {
  out.fronts = all.fronts;
  out.edge_front = all.edge_front;
  out.extent.best.assign(all.best.begin(),
                         all.best.begin() + static_cast<std::ptrdiff_t>(objectives));
  out.extent.worst.assign(all.worst.begin(),
                          all.worst.begin() + static_cast<std::ptrdiff_t>(objectives));
  out.anchors.clear();
  for (const Found::Anchor& anchor : all.anchors)
    if (std::isfinite(anchor.value))
      out.anchors.push_back(anchor.number);
  out.count = count;
}

// Members of a front that is too large, so that what is left spreads over it: every so many by
// latency, the ends included.
std::vector<Member> thin(std::vector<Member> front, std::size_t limit) {
  if (front.size() <= limit)
    return front;
  std::stable_sort(front.begin(), front.end(), [](const Member& a, const Member& b) {
    return a.cost.latency < b.cost.latency;
  });
  std::vector<Member> out;
  for (std::size_t i = 0; i < limit; ++i)
    out.push_back(front[i * (front.size() - 1) / (limit - 1)]);
  return out;
}

struct Near {
  double distance = 0;
  std::uint64_t number = 0;
  friend bool operator<(const Near& a, const Near& b) {
    return std::pair(a.distance, a.number) < std::pair(b.distance, b.number);
  }
};

// The nearest `limit` of what lies within `slack` of some front.
std::vector<Near> nearest(const Looked& looked, const SweptFronts& swept, double slack,
                          std::size_t limit, unsigned threads) {
  const ProfileSpace& space = looked.space();
  const auto& contexts = space.options().contexts;
  std::vector<std::vector<Near>> found(std::max(1u, threads));
  const auto shorten = [&](std::vector<Near>& list) {
    if (list.size() <= limit)
      return;
    std::nth_element(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(limit), list.end());
    list.resize(limit);
  };
  in_shares(0, looked.size(), threads,
            [&](std::size_t share, std::uint64_t from, std::uint64_t to) {
              std::vector<Near>& list = found[share];
              for (std::uint64_t number = from; number < to; ++number) {
                const Choice choice = looked[number];
                const table::Ingredients priced = space.price(choice);
                const double lost = space.accuracy_lost(priced);
                Near near{infinity, number};
                for (std::size_t c = 0; c < contexts.size() && near.distance > 0; ++c) {
                  const Cost cost = space.cost(priced, contexts[c]);
                  near.distance = std::min(near.distance, swept.fronts[c].distance(cost, lost));
                  if (c == 0 && space.all_edge(choice))
                    near.distance = std::min(near.distance, swept.edge_front.distance(cost, lost));
                }
                if (near.distance > slack)
                  continue;
                list.push_back(near);
                if (list.size() > 4 * limit)
                  shorten(list);
              }
            });
  std::vector<Near> all;
  for (const std::vector<Near>& list : found) all.insert(all.end(), list.begin(), list.end());
  std::sort(all.begin(), all.end());
  if (all.size() > limit)
    all.resize(limit);
  return all;
}

}  // namespace

SweptFronts sweep(const Looked& looked, unsigned threads,
                  const std::function<void(const SweptFronts&)>& progress,
                  const std::stop_token& stop) {
  const ProfileSpace& space = looked.space();
  const std::size_t contexts = space.contexts();
  Found all(contexts);
  SweptFronts out;
  const std::uint64_t size = looked.size();
  const std::uint64_t batch = progress || stop.stop_possible()
                                  ? std::max<std::uint64_t>(1000, (size + reports - 1) / reports)
                                  : size;
  for (std::uint64_t from = 0; from < size && !stop.stop_requested(); from += batch) {
    const std::uint64_t to = std::min(size, from + batch);
    std::vector<Found> found(std::max(1u, threads), Found(contexts));
    in_shares(from, to, threads, [&](std::size_t share, std::uint64_t begin, std::uint64_t end) {
      for (std::uint64_t number = begin; number < end; ++number)
        found[share].look(space, looked[number], number);
    });
    for (const Found& share : found) all.join(share);
    publish(all, to, space.objectives(), out);
    if (progress)
      progress(out);
  }
  return out;
}

std::vector<Row> rows_of(const Looked& looked, const SweptFronts& swept, double margin,
                         std::size_t max_rows, unsigned threads) {
  const ProfileSpace& space = looked.space();
  std::vector<Row> rows;
  std::unordered_set<std::uint64_t> taken;
  const auto take = [&](std::uint64_t number, bool on_front) {
    if (taken.insert(number).second)
      rows.push_back({number, on_front});
  };
  for (const Member& member : thin(swept.fronts.front().members(), max_rows - 4))
    take(member.number, true);
  for (const std::uint64_t number : swept.anchors) take(number, false);
  // A hair more than the margin, so that rounding does not drop a row that lies on it.
  const std::vector<Near> near =
      nearest(looked, swept, std::log1p(margin) + 1e-12, max_rows + 1, threads);
  if (near.size() > max_rows) {
    std::vector<table::Ingredients> kept;
    const auto& contexts = space.options().contexts;
    for (const Row& row : rows) kept.push_back(space.price(looked[row.number]));
    const double enough = std::log1p(margin / 2);
    for (std::size_t c = 1; c < contexts.size(); ++c) {
      Stairs cover;
      for (const table::Ingredients& priced : kept)
        cover.add({space.cost(priced, contexts[c]), space.accuracy_lost(priced), 0});
      for (const Member& member : swept.fronts[c].members()) {
        if (rows.size() >= max_rows)
          break;
        Cost relaxed = member.cost;
        relaxed.latency += enough;
        relaxed.energy += enough;
        if (cover.reaches(relaxed, member.lost))
          continue;
        take(member.number, false);
        kept.push_back(space.price(looked[member.number]));
        cover.add(member);
      }
    }
  }
  for (const Near& entry : near) {
    if (rows.size() >= max_rows)
      break;
    take(entry.number, false);
  }
  return rows;
}

}  // namespace cleave::inline v0::optimizer
