#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/front.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace cleave {
namespace {

using Points = std::vector<std::vector<double>>;
using optimizer::hypervolume;
using optimizer::pareto_front;

Points random_points(std::size_t count, std::size_t objectives, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  Points points(count, std::vector<double>(objectives));
  for (auto& point : points)
    for (double& value : point)
      value = std::floor(test::uniform(engine) * 20) / 20;  // coarse, so that ties happen
  return points;
}

bool dominates(const std::vector<double>& a, const std::vector<double>& b) {
  bool better = false;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (a[k] > b[k])
      return false;
    better = better || a[k] < b[k];
  }
  return better;
}

TEST(ParetoFront, IsWhatNoOtherPointDominates) {
  for (const std::size_t objectives : {2u, 3u})
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const Points points = random_points(150, objectives, seed);
      std::vector<std::size_t> expected;
      for (std::size_t i = 0; i < points.size(); ++i) {
        bool out = false;
        for (std::size_t j = 0; j < points.size(); ++j)
          out = out || dominates(points[j], points[i]) || (j < i && points[j] == points[i]);
        if (!out)
          expected.push_back(i);
      }
      EXPECT_EQ(pareto_front(points), expected);
    }
}

TEST(ParetoFront, LeavesOutWhatIsNotFinite) {
  const double inf = std::numeric_limits<double>::infinity();
  const Points points = {{inf, -inf}, {1, 1}, {std::nan(""), 0}};
  EXPECT_EQ(pareto_front(points), std::vector<std::size_t>{1});
}

TEST(Hypervolume, OfStairsIsTheirArea) {
  EXPECT_DOUBLE_EQ(hypervolume(Points{{1, 3}, {2, 2}, {3, 1}}, {0, 0}, {4, 4}), 6.0 / 16);
  EXPECT_DOUBLE_EQ(hypervolume(Points{{0, 0}}, {0, 0}, {4, 4}), 1);
  EXPECT_DOUBLE_EQ(hypervolume(Points{{4, 0}, {5, -1}}, {0, 0}, {4, 4}), 0);
  EXPECT_DOUBLE_EQ(hypervolume(Points{}, {0, 0}, {4, 4}), 0);
}

TEST(Hypervolume, OfThreeObjectivesAgreesWithCounting) {
  const Points points = random_points(40, 3, 7);
  // The values lie on a grid of twentieths, so counting its cells is exact.
  const int cells = 20;
  std::size_t covered = 0;
  for (int x = 0; x < cells; ++x)
    for (int y = 0; y < cells; ++y)
      for (int z = 0; z < cells; ++z)
        for (const auto& p : points)
          if (p[0] * cells < x + 0.5 && p[1] * cells < y + 0.5 && p[2] * cells < z + 0.5) {
            ++covered;
            break;
          }
  EXPECT_NEAR(hypervolume(points, {0, 0, 0}, {1, 1, 1}),
              static_cast<double>(covered) / (cells * cells * cells), 1e-12);
}

TEST(Hypervolume, LeavesOutAnObjectiveThatIsTheSameForAll) {
  EXPECT_DOUBLE_EQ(hypervolume(Points{{1, 7}}, {0, 7}, {4, 7}), 0.75);
  EXPECT_DOUBLE_EQ(hypervolume(Points{{7, 7}}, {7, 7}, {7, 7}), 1);
}

}  // namespace
}  // namespace cleave
