// Looks at all of many configurations, on several threads, and keeps the rows of a table.
#pragma once

#include "optimizer/profile_space.hpp"
#include "optimizer/stairs.hpp"

#include <cleave/optimizer/search.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::optimizer {

/// All configurations of a space, or some of them.
class Looked {
 public:
  explicit Looked(const ProfileSpace& space) : space_(&space) {}
  Looked(const ProfileSpace& space, std::vector<Choice> some)
      : space_(&space), some_(std::move(some)) {}

  [[nodiscard]] std::uint64_t size() const {
    return some_ ? some_->size() : count_.value_or(space_->size());
  }
  [[nodiscard]] Choice operator[](std::uint64_t number) const {
    return some_ ? (*some_)[number] : space_->choice(number);
  }
  [[nodiscard]] const ProfileSpace& space() const { return *space_; }
  /// Only the first so many, where a sweep was stopped.
  void shorten(std::uint64_t count) { count_ = count; }

 private:
  const ProfileSpace* space_;
  std::optional<std::vector<Choice>> some_;
  std::optional<std::uint64_t> count_;
};

/// The best and the worst of each objective in the first context.
struct Extent {
  std::vector<double> best, worst;
};

struct SweptFronts {
  std::vector<Stairs> fronts;  ///< one per context of the space
  Stairs edge_front;           ///< of all-edge ones among themselves, in the first context
  Extent extent;
  std::vector<std::uint64_t> anchors;  ///< fastest and most frugal of all-edge and of all-cloud
  std::uint64_t count = 0;             ///< looked at; fewer than all if stopped
};

/// The fronts, in each context of the space. `progress` and `stop` are asked some twenty times.
SweptFronts sweep(const Looked& looked, unsigned threads,
                  const std::function<void(const SweptFronts&)>& progress = {},
                  const std::stop_token& stop = {});

struct Row {
  std::uint64_t number = 0;
  bool on_front = false;  ///< of the first context
};

/// The rows of a table, as keep() of the same configurations has them: the first context's front,
/// the anchors, and by their distance to the nearest front what lies within the margin. Where that
/// is more than max_rows, first of all as many of each context's front as come within half the
/// margin of all of it.
std::vector<Row> rows_of(const Looked& looked, const SweptFronts& swept, double margin,
                         std::size_t max_rows, unsigned threads);

}  // namespace cleave::inline v0::optimizer
