#include "optimizer/stairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace cleave::inline v0::optimizer {
namespace {

bool faster(const Member& a, const Cost& b) {
  return a.cost.latency < b.latency;
}

}  // namespace

bool Stairs::Staircase::beats(const Cost& cost) const {
  // The last that is no slower has the least energy of those.
  const auto after = std::upper_bound(
      points.begin(), points.end(), cost.latency,
      [](double latency, const Member& member) { return latency < member.cost.latency; });
  return after != points.begin() && std::prev(after)->cost.energy <= cost.energy;
}

void Stairs::Staircase::insert(const Member& point) {
  const auto at = std::lower_bound(points.begin(), points.end(), point.cost, faster);
  auto beaten = at;
  while (beaten != points.end() && beaten->cost.energy >= point.cost.energy) ++beaten;
  if (beaten == at) {
    points.insert(at, point);
    return;
  }
  *at = point;
  points.erase(at + 1, beaten);
}

void Stairs::add(const Member& point) {
  if (!std::isfinite(point.cost.latency) || !std::isfinite(point.cost.energy))
    return;
  auto own = std::lower_bound(by_accuracy_.begin(), by_accuracy_.end(), point.lost,
                              [](const Staircase& s, double lost) { return s.lost < lost; });
  if (own == by_accuracy_.end() || own->lost != point.lost) {
    // What is more accurate counts here, too.
    Staircase fresh{point.lost, {}};
    if (own != by_accuracy_.begin())
      fresh.points = std::prev(own)->points;
    own = by_accuracy_.insert(own, std::move(fresh));
  }
  for (; own != by_accuracy_.end() && !own->beats(point.cost); ++own) own->insert(point);
}

const Stairs::Staircase* Stairs::as_accurate(double lost) const {
  const auto above = std::upper_bound(by_accuracy_.begin(), by_accuracy_.end(), lost,
                                      [](double l, const Staircase& s) { return l < s.lost; });
  return above == by_accuracy_.begin() ? nullptr : &*std::prev(above);
}

bool Stairs::reaches(const Cost& cost, double lost) const {
  const Staircase* staircase = as_accurate(lost);
  return staircase != nullptr && staircase->beats(cost);
}

double Stairs::distance(const Cost& cost, double lost) const {
  if (!std::isfinite(cost.latency) || !std::isfinite(cost.energy))
    return std::numeric_limits<double>::infinity();
  const Staircase* staircase = as_accurate(lost);
  if (staircase == nullptr)
    return 0;
  const std::vector<Member>& points = staircase->points;
  // Along the stairs the lead in latency shrinks and that in energy grows: the lesser of the two is
  // greatest where they cross.
  const auto cross = std::partition_point(points.begin(), points.end(), [&](const Member& member) {
    return cost.latency - member.cost.latency > cost.energy - member.cost.energy;
  });
  double farthest = 0;
  for (const auto at : {cross, cross == points.begin() ? cross : std::prev(cross)})
    if (at != points.end())
      farthest = std::max(farthest,
                          std::min(cost.latency - at->cost.latency, cost.energy - at->cost.energy));
  return farthest;
}

std::vector<Member> Stairs::members() const {
  std::vector<Member> out;
  for (const Staircase& staircase : by_accuracy_)
    for (const Member& member : staircase.points)
      if (member.lost == staircase.lost)
        out.push_back(member);
  return out;
}

}  // namespace cleave::inline v0::optimizer
