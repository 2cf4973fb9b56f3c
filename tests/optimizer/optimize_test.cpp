#include "tests/optimizer/every_configuration.hpp"
#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/front.hpp>
#include <cleave/optimizer/optimize.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <set>

namespace cleave {
namespace {

using core::Errc;
using core::Seconds;
using optimizer::Algorithm;
using optimizer::optimize;
using optimizer::OptimizeOptions;
using table::ParetoTable;
using table::Profile;
using table::TableRow;
using test::every_configuration;
using test::PricedConfiguration;
using test::synthetic_profile;
using test::SyntheticOptions;

using Costs = std::pair<double, double>;
Costs costs(const table::Ingredients& in, const table::LinkState& link, Seconds queue,
            core::Boundary boundary) {
  const auto made = table::compose(in, link, queue);
  return {made.latency.total().count(), made.energy.total(boundary).count()};
}

std::set<Costs> nondominated(const std::vector<Costs>& all) {
  std::set<Costs> front;
  for (const Costs& a : all)
    if (std::none_of(all.begin(), all.end(), [&](const Costs& b) {
          return b != a && b.first <= a.first && b.second <= a.second;
        }))
      front.insert(a);
  return front;
}

double log_hypervolume(const std::vector<Costs>& points, const std::vector<Costs>& box) {
  std::vector<double> ideal(2, 1e300), worst(2, -1e300);
  for (const Costs& p : box) {
    ideal = {std::min(ideal[0], std::log(p.first)), std::min(ideal[1], std::log(p.second))};
    worst = {std::max(worst[0], std::log(p.first)), std::max(worst[1], std::log(p.second))};
  }
  std::vector<std::vector<double>> logs;
  for (const Costs& p : points) logs.push_back({std::log(p.first), std::log(p.second)});
  return optimizer::hypervolume(logs, ideal, worst);
}

std::vector<Costs> front_costs(const ParetoTable& table) {
  std::vector<Costs> out;
  for (const TableRow& row : table.rows)
    if (row.on_front)
      out.emplace_back(row.latency.count(), row.energy.count());
  return out;
}

std::vector<Costs> all_costs(const Profile& profile, core::Boundary boundary) {
  std::vector<Costs> out;
  for (const PricedConfiguration& p : every_configuration(profile))
    out.push_back(costs(p.ingredients, table::link_of(profile), Seconds(), boundary));
  return out;
}

TEST(Optimize, ExhaustiveFindsTheFrontOfABruteForce) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Profile profile = synthetic_profile({.seed = seed});
    const auto made = optimize(
        profile, {.algorithm = Algorithm::exhaustive, .accuracy_objective = false, .margin = 0});
    ASSERT_TRUE(made.has_value()) << made.error().message();
    const auto all = all_costs(profile, made->boundary);
    EXPECT_EQ(made->search.evaluations, all.size());
    EXPECT_EQ(made->search.space, all.size());
    EXPECT_EQ(optimizer::count_configurations(profile).value(), all.size());
    EXPECT_EQ(made->search.algorithm, "exhaustive");
    const auto found = front_costs(*made);
    EXPECT_EQ(std::set<Costs>(found.begin(), found.end()), nondominated(all));
    EXPECT_NEAR(made->search.hypervolume, log_hypervolume(all, all), 1e-12);
  }
}

TEST(Optimize, AFifthOfTheSpaceReachesNearlyAllOfTheHypervolume) {
  const Profile profile = synthetic_profile({.seed = 11, .steps = 16});
  const auto boundary = core::Boundary::edge_cloud_device;
  const auto all = all_costs(profile, boundary);
  const double best = log_hypervolume(all, all);
  std::map<std::string, double> sum;
  double worst = 1;
  const int seeds = 10;
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const auto share_of_best = [&](OptimizeOptions options) {
      options.seed = seed;
      options.accuracy_objective = false;
      options.boundary = boundary;
      const auto made = optimize(profile, options);
      EXPECT_TRUE(made.has_value()) << made.error().message();
      EXPECT_LE(made->search.evaluations, (all.size() + 4) / 5);
      return log_hypervolume(front_costs(*made), all) / best;
    };
    const double nsga2 = share_of_best({});
    worst = std::min(worst, nsga2);
    sum["nsga2"] += nsga2;
    sum["nsga2, one link"] += share_of_best({.bandwidth_factors = {}});
    sum["nsga2, plain"] += share_of_best({.seeded = false, .bandwidth_factors = {}});
    sum["nsga2, 10 %"] += share_of_best({.budget_share = 0.1});
    sum["random"] += share_of_best({.algorithm = Algorithm::random});
  }
  std::printf("hypervolume of exhaustive, %zu configurations, front of %zu, mean of %d seeds:\n",
              all.size(), nondominated(all).size(), seeds);
  for (const auto& [name, total] : sum) std::printf("  %-16s %.5f\n", name.c_str(), total / seeds);
  std::printf("  nsga2, worst     %.5f\n", worst);
  EXPECT_GE(worst, 0.98);
  EXPECT_GT(sum["nsga2"], sum["random"]);
}

TEST(Optimize, GivesTheSameTableForTheSameSeedWhateverTheThreads) {
  const Profile profile = synthetic_profile();
  const auto first = optimize(profile, {.seed = 3});
  const auto second = optimize(profile, {.seed = 3, .threads = 2});
  ASSERT_TRUE(first && second);
  EXPECT_EQ(*first, *second);
}

TEST(Optimize, RowsAreWhatThePredictorSaysByAscendingEnergy) {
  const Profile profile = synthetic_profile();
  for (const core::Boundary boundary : {core::Boundary::edge, core::Boundary::edge_cloud_device,
                                        core::Boundary::edge_cloud_machine}) {
    const auto made = optimize(profile, {.boundary = boundary});
    ASSERT_TRUE(made.has_value());
    EXPECT_EQ(made->boundary, boundary);
    EXPECT_EQ(made->edge_knobs, profile.hosts[0].knobs);
    EXPECT_EQ(made->cloud_knobs, profile.hosts[1].knobs);
    EXPECT_EQ(made->model, profile.model);
    EXPECT_EQ(made->reference, table::link_of(profile));
    std::set<std::string> labels;
    for (std::size_t i = 0; i < made->rows.size(); ++i) {
      const TableRow& row = made->rows[i];
      const auto priced = table::price(profile, row.configuration);
      ASSERT_TRUE(priced.has_value()) << "an invalid configuration in the table";
      EXPECT_EQ(*priced, row.ingredients);
      const Costs c = costs(*priced, made->reference, Seconds(), boundary);
      EXPECT_EQ(c, Costs(row.latency.count(), row.energy.count()));
      EXPECT_TRUE(i == 0 || made->rows[i - 1].energy <= row.energy);
      EXPECT_TRUE(labels.insert(row.label).second) << row.label << " twice";
    }
  }
}

TEST(Optimize, HoldsTheFrontsOfTheLinksForeseen) {
  const Profile profile = synthetic_profile({.seed = 2});
  const OptimizeOptions options{.algorithm = Algorithm::exhaustive,
                                .accuracy_objective = false,
                                .bandwidth_factors = {0.1, 10},
                                .queues = {core::milliseconds(80)},
                                .margin = 0};
  const auto made = optimize(profile, options);
  ASSERT_TRUE(made.has_value());
  const table::LinkState link = table::link_of(profile);
  const auto everything = every_configuration(profile);
  const auto check = [&](const table::LinkState& there, Seconds queue, bool edge_only) {
    std::vector<Costs> all, kept;
    for (const PricedConfiguration& p : everything)
      if (!edge_only || p.all_edge)
        all.push_back(costs(p.ingredients, there, queue, made->boundary));
    for (const TableRow& row : made->rows)
      if (!edge_only || !row.ingredients.uses_cloud)
        kept.push_back(costs(row.ingredients, there, queue, made->boundary));
    EXPECT_EQ(nondominated(kept), nondominated(all));
  };
  check(link, Seconds(), false);
  check({link.round_trip, link.up * 0.1, link.down * 0.1}, Seconds(), false);
  check({link.round_trip, link.up * 10, link.down * 10}, Seconds(), false);
  check(link, core::milliseconds(80), false);
  check(link, Seconds(), true);
}

TEST(Optimize, KeepsRowsWithinTheMarginAndNoOthers) {
  const Profile profile = synthetic_profile({.seed = 3});
  const double margin = 0.04;
  const auto made = optimize(profile, {.algorithm = Algorithm::exhaustive,
                                       .accuracy_objective = false,
                                       .bandwidth_factors = {},
                                       .margin = margin});
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->margin, margin);
  const auto everything = every_configuration(profile);
  // Kept: nothing beats it in both latency and energy by more than the margin, among all, or among
  // the all-edge ones; and the extremes of all-edge and all-cloud.
  std::vector<Costs> all, edge;
  for (const PricedConfiguration& p : everything) {
    all.push_back(costs(p.ingredients, made->reference, Seconds(), made->boundary));
    if (p.all_edge)
      edge.push_back(all.back());
  }
  const auto beaten = [&](const Costs& c, const std::vector<Costs>& by) {
    return std::any_of(by.begin(), by.end(), [&](const Costs& o) {
      return o.first * (1 + margin) < c.first * (1 - 1e-9) &&
             o.second * (1 + margin) < c.second * (1 - 1e-9);
    });
  };
  std::set<Costs> kept;
  for (const TableRow& row : made->rows) kept.emplace(row.latency.count(), row.energy.count());
  std::size_t extra = 0;
  for (std::size_t i = 0; i < everything.size(); ++i) {
    const bool wanted = !beaten(all[i], all) || (everything[i].all_edge && !beaten(all[i], edge));
    if (wanted) {
      EXPECT_TRUE(kept.contains(all[i]));
    } else if (kept.contains(all[i])) {
      ++extra;
    }
  }
  EXPECT_LE(extra, 4u) << "only the extremes of all-edge and all-cloud";
  EXPECT_GT(made->rows.size(), front_costs(*made).size());
}

TEST(Optimize, AlwaysHoldsAnAllCloudAndAnAllEdgeRow) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    const auto made = optimize(synthetic_profile({.seed = seed}), {.margin = 0, .max_rows = 8});
    ASSERT_TRUE(made.has_value());
    EXPECT_LE(made->rows.size(), 8u);
    const auto any = [&](auto what) {
      return std::any_of(made->rows.begin(), made->rows.end(), what);
    };
    EXPECT_TRUE(any([](const TableRow& r) { return !r.ingredients.uses_cloud; }));
    EXPECT_TRUE(any([](const TableRow& r) {
      return r.ingredients.uses_cloud && r.ingredients.edge_compute == Seconds();
    }));
  }
}

TEST(Optimize, BoundsTheTableKeepingWhatIsNearestTheFront) {
  const Profile profile = synthetic_profile();
  const auto wide = optimize(profile, {.algorithm = Algorithm::exhaustive, .margin = 0.5});
  const auto small =
      optimize(profile, {.algorithm = Algorithm::exhaustive, .margin = 0.5, .max_rows = 60});
  ASSERT_TRUE(wide && small);
  EXPECT_GT(wide->rows.size(), 60u);
  EXPECT_EQ(small->rows.size(), 60u);
  EXPECT_FALSE(front_costs(*small).empty());
  if (front_costs(*wide).size() <= 56) {
    EXPECT_EQ(front_costs(*small), front_costs(*wide));
  }
}

TEST(Optimize, NeverProposesALossyCodecWhoseAccuracyIsUnknown) {
  const auto made = optimize(synthetic_profile({.labelled = false}),
                             {.algorithm = Algorithm::exhaustive, .margin = 1});
  ASSERT_TRUE(made.has_value());
  for (const TableRow& row : made->rows) EXPECT_EQ(row.configuration.codec(), "raw");
}

TEST(Optimize, UsesOnlySettingsThatWereMeasured) {
  Profile profile = synthetic_profile();
  // A grid with holes.
  auto& settings = profile.hosts[0].settings;
  settings.erase(settings.begin() + 1);
  settings.erase(settings.begin() + 4);
  for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::exhaustive}) {
    const auto made = optimize(profile, {.algorithm = algorithm, .margin = 1});
    ASSERT_TRUE(made.has_value());
    EXPECT_EQ(made->search.space, every_configuration(profile).size());
    for (const TableRow& row : made->rows)
      EXPECT_TRUE(table::price(profile, row.configuration).has_value());
    if (algorithm == Algorithm::exhaustive) {
      EXPECT_EQ(made->search.evaluations, made->search.space);
    }
  }
}

TEST(Optimize, HonoursTheAccuracyFloor) {
  const Profile profile = synthetic_profile();
  const auto made = optimize(profile, {.accuracy_floor = 0.905, .margin = 1});
  ASSERT_TRUE(made.has_value());
  for (const TableRow& row : made->rows) EXPECT_GE(row.ingredients.accuracy.value, 0.905);
  const auto none = optimize(profile, {.accuracy_floor = 0.99});
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().code, Errc::invalid_argument);
  EXPECT_THAT(none.error().message(), testing::HasSubstr("0.92"));
}

TEST(Optimize, WithAccuracyAsAnObjectiveKeepsTheDearerMoreAccurateRows) {
  const Profile profile = synthetic_profile({.seed = 4});
  const auto two =
      optimize(profile, {.algorithm = Algorithm::exhaustive, .accuracy_objective = false});
  const auto three = optimize(profile, {.algorithm = Algorithm::exhaustive});
  ASSERT_TRUE(two && three);
  EXPECT_GT(front_costs(*three).size(), front_costs(*two).size());
  // At each accuracy that matters, the front of that accuracy and better is in the table.
  for (const double floor : {0.90, 0.91, 0.919}) {
    std::vector<Costs> all, kept;
    for (const PricedConfiguration& p : every_configuration(profile))
      if (std::round(p.ingredients.accuracy.value / 0.005) >= std::round(floor / 0.005))
        all.push_back(costs(p.ingredients, three->reference, Seconds(), three->boundary));
    for (const TableRow& row : three->rows)
      if (std::round(row.ingredients.accuracy.value / 0.005) >= std::round(floor / 0.005))
        kept.emplace_back(row.latency.count(), row.energy.count());
    EXPECT_EQ(nondominated(kept), nondominated(all)) << floor;
  }
}

TEST(Optimize, StoppedKeepsTheBestSoFar) {
  std::stop_source stop;
  const auto made = optimize(synthetic_profile(), {.budget_share = 1,
                                                   .progress =
                                                       [&](const auto& progress) {
                                                         if (progress.evaluations > 80)
                                                           stop.request_stop();
                                                       },
                                                   .stop = stop.get_token()});
  ASSERT_TRUE(made.has_value());
  EXPECT_FALSE(made->rows.empty());
  EXPECT_LT(made->search.evaluations, made->search.space);
  stop.request_stop();
  const auto nothing = optimize(synthetic_profile(), {.stop = stop.get_token()});
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().code, Errc::cancelled);
}

TEST(Optimize, LabelsAreReadable) {
  const auto made =
      optimize(synthetic_profile(), {.algorithm = Algorithm::exhaustive, .margin = 10});
  ASSERT_TRUE(made.has_value());
  std::set<std::string> labels;
  for (const TableRow& row : made->rows) labels.insert(row.label);
  EXPECT_THAT(labels, testing::IsSupersetOf({"all on the edge | 1800 MHz, 2 threads",
                                             "all in the cloud, int8 | 450 MHz, 1 thread | cloud 2 "
                                             "threads",
                                             "layer3 fp16 | 900 MHz, 2 threads | cloud 1 thread"}));
}

TEST(Optimize, WorksWithoutKnobsAndWithoutACloud) {
  Profile profile = synthetic_profile({.shares = {1}, .edge_threads = {1}, .cloud_threads = {1}});
  for (auto& host : profile.hosts) {
    host.knobs.clear();
    for (auto& setting : host.settings) setting.levels.clear();
  }
  const auto plain = optimize(profile);
  ASSERT_TRUE(plain.has_value()) << plain.error().message();
  EXPECT_FALSE(plain->rows.empty());
  profile.hosts[1].settings.clear();
  const auto alone = optimize(profile);
  ASSERT_TRUE(alone.has_value()) << alone.error().message();
  ASSERT_EQ(alone->rows.size(), 1u);
  EXPECT_EQ(alone->rows[0].label, "all on the edge");
}

TEST(Optimize, SaysWhatIsWrong) {
  const Profile profile = synthetic_profile();
  const auto code = [](const Profile& p, const OptimizeOptions& options) {
    const auto made = optimize(p, options);
    return made ? Errc::internal : made.error().code;
  };
  EXPECT_EQ(code({}, {}), Errc::invalid_argument);
  Profile no_edge = profile;
  no_edge.hosts[0].settings.clear();
  EXPECT_EQ(code(no_edge, {}), Errc::invalid_argument);
  Profile short_steps = profile;
  short_steps.hosts[0].settings[2].steps.pop_back();
  EXPECT_EQ(code(short_steps, {}), Errc::invalid_argument);
  Profile wrong_levels = profile;
  wrong_levels.hosts[1].settings[0].levels = {9};
  EXPECT_EQ(code(wrong_levels, {}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.budget_share = 0}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.population = 3}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.bandwidth_factors = {0}}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.queues = {Seconds(-1)}}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.margin = -1}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.max_rows = 2}), Errc::invalid_argument);
  EXPECT_EQ(code(profile, {.accuracy_floor = 2}), Errc::invalid_argument);
}

}  // namespace
}  // namespace cleave
