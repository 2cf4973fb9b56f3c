#include "tests/support/synthetic_observations.hpp"

#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/observations.hpp>
#include <cleave/table/files.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace cleave;
using optimizer::Algorithm;
using optimizer::Objectives;
using table::Observations;

Observations small_space(std::uint64_t seed = 1) {
  return test::synthetic_observations(test::synthetic_spaces[1], seed);
}

// By definition: over a fine grid of latencies, what the front's energy leaves up to the reference.
double brute_force_volume(const std::vector<Objectives>& points, double x, double y) {
  std::vector<double> at;
  for (const Objectives& point : points) at.push_back(point[0]);
  at.push_back(x);
  std::sort(at.begin(), at.end());
  double volume = 0;
  for (std::size_t i = 0; i + 1 < at.size(); ++i) {
    double least = y;
    for (const Objectives& point : points)
      if (point[0] <= at[i])
        least = std::min(least, point[1]);
    volume += (at[i + 1] - at[i]) * (y - least);
  }
  return volume;
}

std::vector<Objectives> means_of(const Observations& observations) {
  std::vector<Objectives> out;
  for (const auto& configuration : observations.configurations) {
    const auto mean = table::mean_of(configuration);
    out.push_back({std::log(mean.latency.count()), std::log(mean.energy.count())});
  }
  return out;
}

TEST(ObservedSearch, TellsTheShareOfTheHypervolumeThatBruteForceFinds) {
  const Observations observed = small_space();
  const auto found = optimizer::optimize(observed, {.margin = 0});
  ASSERT_TRUE(found.has_value()) << found.error().message();
  double x = -std::numeric_limits<double>::infinity(), y = x;
  for (const auto& configuration : observed.configurations)
    for (const auto& run : configuration.runs) {
      x = std::max(x, std::log(run.latency.count()));
      y = std::max(y, std::log(run.energy.count()));
    }
  std::vector<Objectives> front;
  for (const auto& row : found->table.rows)
    if (row.on_front)
      front.push_back({std::log(row.latency.count()), std::log(row.energy.count())});
  EXPECT_NEAR(found->hypervolume_share,
              brute_force_volume(front, x, y) / brute_force_volume(means_of(observed), x, y), 1e-9);
}

TEST(ObservedSearch, LooksAtNoMoreThanItsBudget) {
  const Observations observed = small_space();
  const std::size_t size = observed.configurations.size();
  for (const Algorithm algorithm :
       {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso, Algorithm::maco, Algorithm::random}) {
    const auto found =
        optimizer::optimize(observed, {.algorithm = algorithm, .budget_share = 0.1, .seed = 3});
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_EQ(found->table.search.evaluations, size / 10) << to_string(algorithm);
    EXPECT_EQ(found->table.search.space, size);
    const auto few = optimizer::optimize(observed, {.algorithm = algorithm, .evaluations = 2});
    ASSERT_TRUE(few.has_value()) << few.error().message();
    EXPECT_EQ(few->table.search.evaluations, 2u);
  }
  for (const bool screened : {true, false})
    for (const Algorithm algorithm : {Algorithm::moead, Algorithm::nspso, Algorithm::maco}) {
      const auto found = optimizer::optimize(
          observed, {.algorithm = algorithm, .evaluations = 60, .screened = screened});
      ASSERT_TRUE(found.has_value()) << found.error().message();
      EXPECT_LE(found->table.search.evaluations, 60u);
    }
}

TEST(ObservedSearch, OfAllIsTheWholeFront) {
  const auto found = optimizer::optimize(small_space(), {.algorithm = Algorithm::exhaustive});
  ASSERT_TRUE(found.has_value());
  EXPECT_DOUBLE_EQ(found->hypervolume_share, 1);
  EXPECT_DOUBLE_EQ(found->extra_energy, 0);
}

TEST(ObservedSearch, GivesTheSameForTheSameSeedWhateverTheOrderOfTheFile) {
  Observations observed = small_space();
  const auto first = optimizer::optimize(observed, {.seed = 5});
  std::reverse(observed.configurations.begin(), observed.configurations.end());
  const auto second = optimizer::optimize(observed, {.seed = 5});
  const auto third = optimizer::optimize(observed, {.seed = 6});
  ASSERT_TRUE(first && second && third);
  EXPECT_EQ(first->table, second->table);
  EXPECT_NE(first->table, third->table);
}

TEST(ObservedSearch, MakesATableThatIsValidAndSaysWhatWasMeasured) {
  const Observations observed = small_space();
  const auto found = optimizer::optimize(observed, {.origin = core::Origin::modelled});
  ASSERT_TRUE(found.has_value());
  ASSERT_TRUE(table::validate(found->table).has_value());
  for (const auto& row : found->table.rows) {
    const auto made = table::compose(row.ingredients, found->table.reference, {});
    EXPECT_NEAR(made.latency.total().count(), row.latency.count(), 1e-12);
    EXPECT_NEAR(made.energy.total(found->table.boundary).count(), row.energy.count(), 1e-9);
    EXPECT_EQ(row.ingredients.origin, core::Origin::modelled);
    const auto same = std::find_if(
        observed.configurations.begin(), observed.configurations.end(),
        [&](const auto& c) { return c.levels == row.configuration.stages.front().levels; });
    ASSERT_NE(same, observed.configurations.end());
    EXPECT_EQ(table::mean_of(*same).latency, row.latency);
  }
}

TEST(ObservedSearch, TrustsAConfigurationSeenOnceLessThanOneSeenTenTimes) {
  std::string text = "knob.mode,latency_ms,energy_j\nonce,100,1\n";
  for (int i = 0; i < 10; ++i) text += i % 2 == 0 ? "often,95,1.01\n" : "often,105,1.01\n";
  const auto observed = table::parse_observations(text, "obs.csv");
  ASSERT_TRUE(observed.has_value());
  const auto found = optimizer::optimize(*observed, {.algorithm = Algorithm::exhaustive});
  ASSERT_TRUE(found.has_value());
  ASSERT_EQ(found->table.rows.size(), 2u);
  double once = 0, often = 0;
  for (const auto& row : found->table.rows)
    (row.label == "mode=once" ? once : often) = row.ingredients.spread;
  // s^2 = 10 x 0.05^2 / 9, pooled with itself; one run more: 1 + 1/10, and 1 + 1/1.
  const double s = std::sqrt(10 * 0.0025 / 9);
  EXPECT_NEAR(often, s * std::sqrt(1.1), 1e-9);
  EXPECT_NEAR(once, s * std::sqrt(2.0), 1e-9);
}

TEST(ObservedSearch, KeepsAFloorUnderAccuracy) {
  const auto observed = table::parse_observations(
      "knob.a,latency_ms,energy_j,accuracy\n1,10,1,0.5\n2,20,2,0.9\n3,30,3,0.95\n", "obs.csv");
  ASSERT_TRUE(observed.has_value());
  const auto found =
      optimizer::optimize(*observed, {.algorithm = Algorithm::exhaustive, .accuracy_floor = 0.8});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->table.search.space, 2u);
  EXPECT_FALSE(optimizer::optimize(*observed, {.accuracy_floor = 0.99}).has_value());
  const auto searched = optimizer::optimize(*observed, {.evaluations = 3});
  ASSERT_TRUE(searched.has_value()) << searched.error().message();
  EXPECT_EQ(searched->table.search.evaluations, 3u);
}

TEST(ExtraEnergy, IsTheMeanOverDeadlines) {
  // Two points in all, of which the quick and dear one is known: half the deadlines pay e - 1 more.
  const std::vector<Objectives> all = {{0, 1}, {1, 0}};
  EXPECT_NEAR(optimizer::extra_energy({{0, 1}}, all), std::expm1(1) / 200, 1e-12);
  EXPECT_EQ(optimizer::extra_energy(all, all), 0);
  const std::vector<Objectives> three = {{0, 2}, {0.5, 1}, {1, 0}};
  // Without the middle one, deadlines from its latency up to the last pay ln energy 2 for 1.
  EXPECT_NEAR(optimizer::extra_energy({{0, 2}, {1, 0}}, three), std::expm1(1) * 99 / 200, 1e-12);
}

TEST(ObservedSearch, BeatsRandomSamplingAndPlainEvolution) {
  double cleave = 0, plain = 0, random = 0;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Observations observed = small_space(seed);
    const auto share = [&](Algorithm algorithm, bool helped) {
      return optimizer::optimize(
                 observed,
                 {.algorithm = algorithm, .seed = seed, .seeded = helped, .screened = helped})
          ->hypervolume_share;
    };
    cleave += share(Algorithm::nsga2, true) / 5;
    plain += share(Algorithm::nsga2, false) / 5;
    random += share(Algorithm::random, false) / 5;
  }
  EXPECT_GT(cleave, plain + 0.02);
  EXPECT_GT(cleave, random + 0.02);
}

// The aim at a tenth of the configurations; cleave_bench_search shows it over 20 seeds and all
// spaces, and which of them miss it.
TEST(ObservedSearch, FindsNearlyAllOfTheFrontByLookingAtATenth) {
  const auto family =
      std::find_if(test::synthetic_spaces.begin(), test::synthetic_spaces.end(),
                   [](const test::SyntheticSpace& space) { return space.name == "codecs"; });
  ASSERT_NE(family, test::synthetic_spaces.end());
  constexpr std::uint64_t seeds = 3;
  double share = 0, extra = 0;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const Observations observed = test::synthetic_observations(*family, seed);
    const auto found = optimizer::optimize(observed, {.budget_share = 0.1, .seed = seed});
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_LE(found->table.search.evaluations, observed.configurations.size() / 10);
    EXPECT_GE(found->hypervolume_share, 0.98) << "seed " << seed;
    share += found->hypervolume_share / seeds;
    extra += found->extra_energy / seeds;
  }
  EXPECT_GE(share, 0.995);
  EXPECT_LE(extra, 0.03);
}

TEST(ObservedSearch, ShowsAHypervolumeThatNeverFallsWhileItSearches) {
  double before = 0;
  std::size_t shown = 0;
  const auto found = optimizer::optimize(
      small_space(), {.evaluations = 60, .progress = [&](const optimizer::SearchProgress& now) {
                        EXPECT_GE(now.hypervolume, before);
                        before = now.hypervolume;
                        ++shown;
                      }});
  ASSERT_TRUE(found.has_value());
  EXPECT_GT(shown, 10u);
  EXPECT_GT(before, 0);
}

}  // namespace
