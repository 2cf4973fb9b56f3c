#include "optimizer/archive.hpp"

#include <cleave/core/hash.hpp>
#include <cleave/optimizer/front.hpp>

#include <algorithm>
#include <cmath>
#include <exception>
#include <limits>
#include <span>
#include <thread>

namespace cleave::inline v0::optimizer {

std::size_t PointHash::operator()(const Point& point) const {
  return core::hash_bytes(std::as_bytes(std::span(point)));
}

std::optional<std::size_t> Archive::find(const Point& point) const {
  const auto found = index_.find(point);
  if (found == index_.end())
    return std::nullopt;
  return found->second;
}

std::size_t Archive::evaluate(const std::vector<Point>& points) {
  const std::size_t first = entries_.size();
  for (const Point& point : points)
    if (entries_.size() < budget_ && index_.emplace(point, entries_.size()).second)
      entries_.push_back({point, {}});
  const std::size_t count = entries_.size() - first;
  const std::size_t workers = std::min<std::size_t>(std::max(1u, threads_), count);
  if (workers <= 1) {
    for (std::size_t i = first; i < entries_.size(); ++i)
      entries_[i].objectives = space_.evaluate(entries_[i].point);
    return count;
  }
  std::vector<std::exception_ptr> failed(workers);
  {
    std::vector<std::jthread> pool;
    for (std::size_t w = 0; w < workers; ++w)
      pool.emplace_back([&, w] {
        try {
          for (std::size_t i = first + w; i < entries_.size(); i += workers)
            entries_[i].objectives = space_.evaluate(entries_[i].point);
        } catch (...) {
          failed[w] = std::current_exception();
        }
      });
  }
  for (const std::exception_ptr& failure : failed)
    if (failure)
      std::rethrow_exception(failure);
  return count;
}

Objectives Archive::objectives(std::size_t entry, std::size_t context) const {
  const auto count = static_cast<std::ptrdiff_t>(space_.objectives());
  const auto begin =
      entries_[entry].objectives.begin() + count * static_cast<std::ptrdiff_t>(context);
  return Objectives(begin, begin + count);
}

double Archive::hypervolume() {
  std::vector<Objectives> points;
  for (std::size_t i = 0; i < entries_.size(); ++i) points.push_back(objectives(i, 0));
  return coverage_.update(points, bounding_box(points));
}

double Coverage::update(const std::vector<Objectives>& points, Box box) {
  if (!box_ && !points.empty() && box.ideal[0] < box.reference[0] &&
      box.ideal[1] < box.reference[1])
    box_ = box;
  if (!box_)
    return 0;
  // What is better than the first box's best counts too, so the volume is taken in a box that
  // reaches as far, and given in units of the first.
  double units = 1;
  for (std::size_t k = 0; k < box.ideal.size(); ++k) {
    const double first = box_->reference[k] - box_->ideal[k];
    // An objective that told nothing apart then is left out for good, or figures would not compare.
    box.ideal[k] = first > 0 ? std::min(box.ideal[k], box_->ideal[k]) : box_->reference[k];
    if (first > 0)
      units *= (box_->reference[k] - box.ideal[k]) / first;
  }
  // It cannot fall but by rounding, which is another in another box.
  volume_ = std::max(volume_, units * optimizer::hypervolume(points, box.ideal, box_->reference));
  return volume_;
}

Box bounding_box(const std::vector<Objectives>& points) {
  Box box;
  if (points.empty())
    return box;
  box.ideal.assign(points.front().size(), std::numeric_limits<double>::infinity());
  box.reference.assign(points.front().size(), -std::numeric_limits<double>::infinity());
  for (const Objectives& point : points)
    for (std::size_t k = 0; k < point.size(); ++k) {
      if (!std::isfinite(point[k]))
        continue;
      box.ideal[k] = std::min(box.ideal[k], point[k]);
      box.reference[k] = std::max(box.reference[k], point[k]);
    }
  return box;
}

}  // namespace cleave::inline v0::optimizer
