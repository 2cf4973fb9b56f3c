#include "tests/optimizer/every_configuration.hpp"
#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/optimize.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>

namespace cleave {
namespace {

using core::Seconds;
using optimizer::Algorithm;
using optimizer::LinkRange;
using optimizer::optimize;
using table::Profile;
using test::every_configuration;
using test::synthetic_profile;

using Costs = std::pair<double, double>;

std::vector<table::Ingredients> everything(const Profile& profile) {
  std::vector<table::Ingredients> out;
  for (const auto& priced : every_configuration(profile)) out.push_back(priced.ingredients);
  return out;
}

std::vector<Costs> costs(const std::vector<table::Ingredients>& all, const table::LinkState& link,
                         core::Boundary boundary) {
  std::vector<Costs> out;
  for (const table::Ingredients& in : all) {
    const auto made = table::compose(in, link, Seconds());
    out.emplace_back(made.latency.total().count(), made.energy.total(boundary).count());
  }
  return out;
}

// By how much the nearest row is slower and hungrier than the worst served configuration; only
// those on the front count, as the others are served by them.
double worst_miss(const std::vector<Costs>& rows, std::vector<Costs> all) {
  std::sort(all.begin(), all.end());
  double worst = 0, least = 1e300;
  for (const Costs& best : all) {
    if (best.second >= least)
      continue;
    least = best.second;
    double nearest = 1e300;
    for (const Costs& row : rows)
      nearest = std::min(nearest, std::max(row.first / best.first, row.second / best.second) - 1);
    worst = std::max(worst, nearest);
  }
  return worst;
}

TEST(LinkRange, ARowWithinTheMarginOfTheBestIsThereAtEveryLink) {
  double worst = 0;
  std::size_t most_rows = 0, links = 0;
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const Profile profile = synthetic_profile({.seed = seed, .steps = 14});
    const LinkRange range{core::megabits_per_second(1), core::megabits_per_second(100),
                          core::milliseconds(5), core::milliseconds(100)};
    const auto made = optimize(profile, {.algorithm = Algorithm::exhaustive,
                                         .accuracy_objective = false,
                                         .bandwidth_factors = {},
                                         .range = range});
    ASSERT_TRUE(made) << made.error().message();
    most_rows = std::max(most_rows, made->rows.size());
    const auto all = everything(profile);
    std::vector<table::Ingredients> rows;
    for (const table::TableRow& row : made->rows) rows.push_back(row.ingredients);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 200; ++i, ++links) {
      const double rate = std::exp(std::log(100.0) * test::uniform(random));
      const double trip = 5 * std::exp(std::log(20.0) * test::uniform(random));
      const table::LinkState link{core::milliseconds(trip), core::megabits_per_second(rate),
                                  core::megabits_per_second(rate)};
      const double miss =
          worst_miss(costs(rows, link, made->boundary), costs(all, link, made->boundary));
      EXPECT_LE(miss, made->margin + 1e-9) << rate << " Mbit/s, " << trip << " ms, seed " << seed;
      worst = std::max(worst, miss);
    }
  }
  std::printf(
      "%zu random links: the worst served front row is missed by %.2f %%; at most %zu rows\n",
      links, 100 * worst, most_rows);
}

// Sixty rows are too few for all; what is kept is what the links need most.
TEST(LinkRange, ASmallTableStillServesTheWholeRangeBetterThanTheReferenceAlone) {
  const Profile profile = synthetic_profile({.seed = 2, .steps = 14});
  const LinkRange range{core::megabits_per_second(0.5), core::megabits_per_second(200),
                        core::milliseconds(2), core::milliseconds(150)};
  const auto make = [&](bool ranged, std::size_t max_rows) {
    optimizer::OptimizeOptions options{.algorithm = Algorithm::exhaustive,
                                       .accuracy_objective = false,
                                       .bandwidth_factors = {},
                                       .max_rows = max_rows};
    if (ranged)
      options.range = range;
    return optimize(profile, options).value();
  };
  const auto all = everything(profile);
  const auto miss = [&](const table::ParetoTable& table) {
    std::vector<table::Ingredients> rows;
    for (const table::TableRow& row : table.rows) rows.push_back(row.ingredients);
    double worst = 0;
    for (const double rate : {0.5, 2.0, 8.0, 40.0, 200.0})
      for (const double trip : {2.0, 20.0, 150.0}) {
        const table::LinkState link{core::milliseconds(trip), core::megabits_per_second(rate),
                                    core::megabits_per_second(rate)};
        worst = std::max(
            worst, worst_miss(costs(rows, link, table.boundary), costs(all, link, table.boundary)));
      }
    return worst;
  };
  const auto small = make(true, 60);
  EXPECT_LE(small.rows.size(), 60u);
  EXPECT_LE(miss(small), small.margin);
  EXPECT_GT(miss(make(false, 60)), miss(small));
}

TEST(LinkRange, MayBeALineOrAPoint) {
  const Profile profile = synthetic_profile();
  const auto rows = [&](const LinkRange& range) {
    const auto made = optimize(profile, {.bandwidth_factors = {}, .range = range});
    EXPECT_TRUE(made) << made.error().message();
    return made ? made->rows.size() : 0;
  };
  const auto rate = core::megabits_per_second(5);
  EXPECT_GT(rows({rate, rate, core::milliseconds(10), core::milliseconds(10)}), 0u);
  EXPECT_GT(rows({rate, rate * 50, core::milliseconds(10), core::milliseconds(10)}), 0u);
  EXPECT_GT(rows({rate, rate, Seconds(), core::milliseconds(100)}), 0u);
  for (const LinkRange& bad : {LinkRange{core::BytesPerSecond(), rate, Seconds(), Seconds()},
                               LinkRange{rate * 2, rate, Seconds(), Seconds()},
                               LinkRange{rate, rate, Seconds(2), Seconds(1)}}) {
    const auto made = optimize(profile, {.range = bad});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, core::Errc::invalid_argument);
  }
}

}  // namespace
}  // namespace cleave
