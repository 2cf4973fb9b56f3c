// The front of very many points in latency, energy and a few steps of accuracy, kept as it grows.
#pragma once

#include "optimizer/profile_space.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cleave::inline v0::optimizer {

/// A point of a front, and whose it is.
struct Member {
  Cost cost;
  double lost = 0;  ///< steps of accuracy, negative: less is better
  std::uint64_t number = 0;
};

/// A staircase for each step of accuracy: the points at least as accurate that no other such point
/// beats. Adding a point and asking for its distance take O(log n) for each staircase that changes,
/// so a million points take milliseconds.
class Stairs {
 public:
  /// Of equal points the first stays.
  void add(const Member& point);
  /// ln of the factor by which latency and energy must both shrink for no point that is as accurate
  /// to be better in both; 0 on the front and between its points.
  [[nodiscard]] double distance(const Cost& cost, double lost) const;
  /// Whether some point that is as accurate is no worse in both.
  [[nodiscard]] bool reaches(const Cost& cost, double lost) const;
  /// All points that no other beats, by staircase and latency.
  [[nodiscard]] std::vector<Member> members() const;

 private:
  struct Staircase {
    double lost = 0;
    std::vector<Member> points;  // ascending latency, descending energy
    [[nodiscard]] bool beats(const Cost& cost) const;
    void insert(const Member& point);
  };
  [[nodiscard]] const Staircase* as_accurate(double lost) const;

  std::vector<Staircase> by_accuracy_;  // the most accurate first
};

}  // namespace cleave::inline v0::optimizer
