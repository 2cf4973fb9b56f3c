#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/search.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <set>

namespace cleave {
namespace {

using optimizer::Algorithm;
using optimizer::Objectives;
using optimizer::Point;
using optimizer::search;
using optimizer::SearchOptions;
using optimizer::Space;
using optimizer::Variable;

// Two numbers and a word; points whose numbers add up to an odd number stand for the one below.
// Counts how often each point is looked at.
class CountingSpace final : public Space {
 public:
  explicit CountingSpace(std::uint32_t side = 20, std::size_t contexts = 1)
      : variables_{{"x", side, false}, {"y", side, false}, {"mode", 3, true}},
        contexts_(contexts) {}

  std::span<const Variable> variables() const override { return variables_; }
  void canonicalise(Point& p) const override {
    if ((p[0] + p[1]) % 2 == 1)
      p[1] = p[1] == 0 ? 1 : p[1] - 1;
    EXPECT_TRUE(p[0] < variables_[0].levels && p[1] < variables_[1].levels && p[2] < 3);
  }
  std::uint64_t size() const override {
    return variables_[0].levels * variables_[1].levels / 2 * 3;
  }
  Objectives evaluate(const Point& p) const override {
    EXPECT_EQ((p[0] + p[1]) % 2, 0u) << "only canonical points are asked for";
    {
      const std::lock_guard lock(mutex_);
      ++looks_[p];
    }
    Objectives out;
    for (std::size_t c = 0; c < contexts_; ++c) {
      const double x = p[0] + 1.0, y = p[1] + 1.0, mode = 1 + 0.3 * p[2];
      const double shift = 1 + static_cast<double>(c);
      out.push_back(std::log(x * shift + 20 / y) + (p[2] == 2 ? 0.4 : 0));
      out.push_back(std::log(20 / x + y / shift) * mode);
    }
    return out;
  }
  std::size_t contexts() const override { return contexts_; }
  std::size_t objectives() const override { return 2; }

  const std::map<Point, int>& looks() const { return looks_; }

 private:
  std::vector<Variable> variables_;
  std::size_t contexts_;
  mutable std::mutex mutex_;
  mutable std::map<Point, int> looks_;
};

TEST(Search, NeverLooksAtAPointTwice) {
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::random, Algorithm::exhaustive})
    for (const bool seeded : {true, false}) {
      const CountingSpace space(20, 2);
      const auto found = search(
          space, {.algorithm = algorithm, .budget = 200, .population = 16, .seeded = seeded});
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->archive.size(), space.looks().size());
      for (const auto& [point, looks] : space.looks()) EXPECT_EQ(looks, 1);
    }
}

TEST(Search, SpendsItsWholeBudgetAndNoMore) {
  for (const std::uint64_t budget : {1u, 7u, 50u, 333u, 600u, 5000u}) {
    const CountingSpace space;
    const auto found = search(space, {.budget = budget, .population = 16});
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->archive.size(), std::min<std::uint64_t>(budget, space.size()));
    EXPECT_FALSE(found->stopped);
  }
}

TEST(Search, ExhaustiveSeesEveryPoint) {
  const CountingSpace space;
  const auto found = search(space, {.algorithm = Algorithm::exhaustive, .budget = 3});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->archive.size(), space.size());
}

TEST(Search, GivesTheSameForTheSameSeedWhateverTheThreads) {
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::random}) {
    std::vector<std::vector<Point>> runs;
    for (const auto& [seed, threads] : {std::pair{5u, 1u}, {5u, 2u}, {6u, 1u}}) {
      const CountingSpace space(20, 2);
      const auto found = search(space, {.algorithm = algorithm,
                                        .budget = 150,
                                        .population = 16,
                                        .seed = seed,
                                        .threads = threads});
      ASSERT_TRUE(found.has_value());
      runs.emplace_back();
      for (const auto& entry : found->archive) runs.back().push_back(entry.point);
    }
    EXPECT_EQ(runs[0], runs[1]);
    EXPECT_NE(runs[0], runs[2]);
  }
}

TEST(Search, StartsFromTheCornersCrossedWithEveryWord) {
  const CountingSpace space;
  const auto found = search(space, {.budget = 60, .population = 16});
  ASSERT_TRUE(found.has_value());
  std::set<Point> seen;
  for (const auto& entry : found->archive) seen.insert(entry.point);
  for (const std::uint32_t x : {0u, 19u})
    for (const std::uint32_t y : {0u, 19u})
      for (const std::uint32_t mode : {0u, 1u, 2u}) {
        Point corner = {x, y, mode};
        space.canonicalise(corner);
        EXPECT_TRUE(seen.contains(corner)) << x << ' ' << y << ' ' << mode;
      }
}

TEST(Search, StoppedKeepsWhatItFound) {
  std::stop_source stop;
  const CountingSpace space;
  std::uint64_t reported = 0;
  const auto found = search(space, {.budget = 500,
                                    .population = 16,
                                    .progress =
                                        [&](const optimizer::SearchProgress& progress) {
                                          EXPECT_GE(progress.evaluations, reported);
                                          reported = progress.evaluations;
                                          EXPECT_EQ(progress.budget, 500u);
                                          EXPECT_GT(progress.hypervolume, 0);
                                          if (progress.evaluations > 60)
                                            stop.request_stop();
                                        },
                                    .stop = stop.get_token()});
  ASSERT_TRUE(found.has_value());
  EXPECT_TRUE(found->stopped);
  EXPECT_GT(found->archive.size(), 60u);
  EXPECT_LT(found->archive.size(), 500u);
  EXPECT_EQ(found->archive.size(), reported);
}

TEST(Search, EveryAlgorithmBreedsItsOwnOffspringForTheSurrogateToScreen) {
  std::map<std::set<Point>, Algorithm> looked;
  for (const Algorithm algorithm :
       {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso, Algorithm::maco}) {
    const CountingSpace space;
    const auto found =
        search(space, {.algorithm = algorithm, .budget = 60, .population = 16, .screened = true});
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_EQ(found->archive.size(), 60u) << to_string(algorithm);
    std::set<Point> points;
    for (const auto& entry : found->archive) points.insert(entry.point);
    const auto [same, fresh] = looked.emplace(points, algorithm);
    EXPECT_TRUE(fresh) << to_string(algorithm) << " looks where " << to_string(same->second)
                       << " does";
  }
}

// By definition: a staircase over the first objective, up to the worst of the first `batch`, in
// units of what lies between the best and the worst of those.
double volume_by_staircase(const std::vector<optimizer::Evaluated>& archive, std::size_t batch,
                           std::size_t count) {
  Objectives best = archive[0].objectives, worst = best;
  for (std::size_t i = 0; i < batch; ++i)
    for (std::size_t k = 0; k < 2; ++k) {
      best[k] = std::min(best[k], archive[i].objectives[k]);
      worst[k] = std::max(worst[k], archive[i].objectives[k]);
    }
  std::vector<double> steps = {worst[0]};
  for (std::size_t i = 0; i < count; ++i)
    steps.push_back(std::min(worst[0], archive[i].objectives[0]));
  std::sort(steps.begin(), steps.end());
  double volume = 0;
  for (std::size_t s = 0; s + 1 < steps.size(); ++s) {
    double least = worst[1];
    for (std::size_t i = 0; i < count; ++i)
      if (archive[i].objectives[0] <= steps[s])
        least = std::min(least, archive[i].objectives[1]);
    volume += (steps[s + 1] - steps[s]) * (worst[1] - least);
  }
  return volume / ((worst[0] - best[0]) * (worst[1] - best[1]));
}

TEST(Search, ProgressShowsAHypervolumeThatNeverFalls) {
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso,
                                    Algorithm::maco, Algorithm::random, Algorithm::exhaustive})
    for (const bool screened : {false, true})
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        const CountingSpace space;
        std::vector<optimizer::SearchProgress> shown;
        const auto found = search(
            space, {.algorithm = algorithm,
                    .budget = 80,
                    .population = 8,
                    .seed = seed,
                    .seeded = seed != 3,
                    .screened = screened,
                    .progress = [&](const optimizer::SearchProgress& p) { shown.push_back(p); }});
        ASSERT_TRUE(found.has_value()) << found.error().message();
        ASSERT_FALSE(shown.empty());
        for (std::size_t i = 0; i < shown.size(); ++i) {
          if (i > 0) {
            EXPECT_GE(shown[i].hypervolume, shown[i - 1].hypervolume) << to_string(algorithm);
          }
          EXPECT_NEAR(
              shown[i].hypervolume,
              volume_by_staircase(found->archive, shown[0].evaluations, shown[i].evaluations), 1e-9)
              << to_string(algorithm);
        }
      }
}

TEST(Search, OfOnePointLooksAtIt) {
  class One final : public Space {
   public:
    std::span<const Variable> variables() const override { return variables_; }
    void canonicalise(Point&) const override {}
    std::uint64_t size() const override { return 1; }
    Objectives evaluate(const Point&) const override { return {1, 2}; }
    std::size_t contexts() const override { return 1; }
    std::size_t objectives() const override { return 2; }
    std::vector<Variable> variables_ = {{"only", 1, false}};
  };
  const auto found = search(One(), {});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->archive.size(), 1u);
}

TEST(Search, SaysWhatIsWrongWithItsOptions) {
  const CountingSpace space;
  const auto code = [&](const SearchOptions& options) {
    const auto found = search(space, options);
    return found ? core::Errc::internal : found.error().code;
  };
  EXPECT_EQ(code({.budget = 0}), core::Errc::invalid_argument);
  EXPECT_EQ(code({.population = 4}), core::Errc::invalid_argument);
  EXPECT_EQ(code({.threads = 0}), core::Errc::invalid_argument);
  const CountingSpace huge(30'000);
  const auto all = search(huge, {.algorithm = Algorithm::exhaustive});
  ASSERT_FALSE(all.has_value());
  EXPECT_EQ(all.error().code, core::Errc::exhausted);
}

TEST(Search, OfASpaceTooLargeToListStillImproves) {
  const CountingSpace space(30'000);
  const auto few = search(space, {.budget = 100});
  const auto many = search(space, {.budget = 3000});
  ASSERT_TRUE(few && many);
  const auto volume = [](const auto& archive) {
    std::vector<Objectives> points;
    for (const auto& entry : archive) points.push_back(entry.objectives);
    return optimizer::hypervolume(points, {-12, -12}, {12, 20});
  };
  EXPECT_EQ(many->archive.size(), 3000u);
  EXPECT_GT(volume(many->archive), volume(few->archive));
}

TEST(Algorithm, NamesReadBack) {
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso,
                                    Algorithm::maco, Algorithm::random, Algorithm::exhaustive})
    EXPECT_EQ(optimizer::parse_algorithm(optimizer::to_string(algorithm)).value(), algorithm);
  const auto wrong = optimizer::parse_algorithm("magic");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_THAT(wrong.error().message(),
              testing::HasSubstr("nsga2, moead, nspso, maco, random, exhaustive"));
}

}  // namespace
}  // namespace cleave
