// Everything that a search has evaluated, each point once.
#pragma once

#include <cleave/optimizer/search.hpp>

#include <cstddef>
#include <optional>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::optimizer {

struct PointHash {
  std::size_t operator()(const Point& point) const;
};

/// Of lists of objectives, the best and the worst finite value of each.
struct Box {
  Objectives ideal, reference;
};
Box bounding_box(const std::vector<Objectives>& points);

/// What a front covers as a search goes on; see SearchProgress::hypervolume. Its box is fixed by
/// the first call that finds two points which differ in both of the first two objectives.
class Coverage {
 public:
  /// `points`: at least the front of all seen; `box`: of all seen.
  double update(const std::vector<Objectives>& points, Box box);

 private:
  std::optional<Box> box_;
  double volume_ = 0;  // in units of the box
};

class Archive {
 public:
  Archive(const Space& space, std::uint64_t budget, unsigned threads)
      : space_(space), budget_(budget), threads_(threads) {}

  [[nodiscard]] bool contains(const Point& point) const { return index_.contains(point); }
  [[nodiscard]] std::optional<std::size_t> find(const Point& point) const;
  [[nodiscard]] std::uint64_t left() const { return budget_ - entries_.size(); }
  [[nodiscard]] std::uint64_t budget() const { return budget_; }
  [[nodiscard]] const std::vector<Evaluated>& entries() const { return entries_; }
  [[nodiscard]] std::vector<Evaluated> take() { return std::move(entries_); }

  /// Evaluates those of the canonical points that are new, in their order and as far as the budget
  /// goes, several at a time. Gives how many.
  std::size_t evaluate(const std::vector<Point>& points);

  /// An entry's objectives in one context.
  [[nodiscard]] Objectives objectives(std::size_t entry, std::size_t context) const;
  /// See Coverage.
  [[nodiscard]] double hypervolume();

 private:
  const Space& space_;
  std::uint64_t budget_;
  unsigned threads_;
  std::vector<Evaluated> entries_;
  std::unordered_map<Point, std::size_t, PointHash> index_;
  Coverage coverage_;
};

}  // namespace cleave::inline v0::optimizer
