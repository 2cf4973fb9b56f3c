#include "tests/optimizer/every_configuration.hpp"
#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/optimize.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>
#include <string>
#include <vector>

namespace cleave {
namespace {

using core::Bytes;
using core::Errc;
using optimizer::Algorithm;
using optimizer::Constraints;
using optimizer::optimize;
using table::CutProfile;
using table::Profile;
using table::TableRow;
using test::every_configuration;
using test::PricedConfiguration;
using test::synthetic_profile;

// What a constraint lets through, told from the profile alone.
using Keeps = std::function<bool(const CutProfile& cut, double sent, bool all_edge)>;

struct Case {
  const char* name;
  Constraints constraints;
  Keeps keeps;
};

std::vector<Case> cases(const Profile& profile) {
  const std::string layer = profile.cuts[5].layer, id = to_string(profile.cuts[7].id);
  return {
      {"edge memory",
       {.max_edge_memory = Bytes(9e6)},
       [](const CutProfile& cut, double sent, bool) {
         return cut.head_memory.count() + sent <= 9e6;
       }},
      {"cloud memory",
       {.max_cloud_memory = Bytes(12e6)},
       [](const CutProfile& cut, double sent, bool all_edge) {
         return all_edge || cut.tail_memory.count() + sent <= 12e6;
       }},
      {"transfer",
       {.max_transfer = Bytes(20e3)},
       [](const CutProfile&, double sent, bool) { return sent <= 20e3; }},
      {"no raw input",
       {.no_raw_input = true},
       [](const CutProfile& cut, double, bool all_edge) {
         return all_edge || cut.input.count() == 0;
       }},
      {"at least three steps",
       {.min_edge_steps = 3},
       [](const CutProfile& cut, double, bool) { return cut.position >= 3; }},
      {"at most eight steps",
       {.max_edge_steps = 8},
       [](const CutProfile& cut, double, bool) { return cut.position <= 8; }},
      {"allowed cuts",
       {.allow_cuts = {layer, id, "all-cloud"}},
       [=](const CutProfile& cut, double, bool all_edge) {
         return all_edge || cut.layer == layer || to_string(cut.id) == id || cut.position == 0;
       }},
      {"denied cuts",
       {.deny_cuts = {layer, "all-edge"}},
       [=](const CutProfile& cut, double, bool all_edge) {
         return !all_edge && cut.layer != layer;
       }},
      {"several",
       {.max_edge_memory = Bytes(16e6),
        .max_transfer = Bytes(100e3),
        .no_raw_input = true,
        .max_edge_steps = 9},
       [](const CutProfile& cut, double sent, bool all_edge) {
         return cut.head_memory.count() + sent <= 16e6 && sent <= 100e3 &&
                (all_edge || cut.input.count() == 0) && cut.position <= 9;
       }},
  };
}

double sent_by(const Profile& profile, const core::Configuration& configuration) {
  if (configuration.cut() == profile.cuts.back().id)
    return 0;
  const auto cut = std::find_if(profile.cuts.begin(), profile.cuts.end(),
                                [&](const CutProfile& c) { return c.id == configuration.cut(); });
  const auto codec =
      std::find(profile.codecs.begin(), profile.codecs.end(), configuration.codec()) -
      profile.codecs.begin();
  return cut->codecs[static_cast<std::size_t>(codec)].encoded.count();
}

std::vector<PricedConfiguration> allowed(const Profile& profile, const Keeps& keeps) {
  auto out = every_configuration(profile);
  std::erase_if(out, [&](const PricedConfiguration& p) {
    return !keeps(*p.cut, sent_by(profile, p.configuration), p.all_edge);
  });
  return out;
}

using Costs = std::pair<double, double>;
std::set<Costs> front_of(const std::vector<Costs>& all) {
  std::set<Costs> front;
  for (const Costs& a : all)
    if (std::none_of(all.begin(), all.end(), [&](const Costs& b) {
          return b != a && b.first <= a.first && b.second <= a.second;
        }))
      front.insert(a);
  return front;
}

TEST(Constraints, LeaveWhatABruteForceLeaves) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const Profile profile = synthetic_profile({.seed = seed});
    for (const Case& one : cases(profile)) {
      SCOPED_TRACE(one.name);
      const auto left = allowed(profile, one.keeps);
      ASSERT_FALSE(left.empty());
      EXPECT_EQ(optimizer::count_configurations(profile, 0, one.constraints).value(), left.size());
      const auto made = optimize(profile, {.algorithm = Algorithm::exhaustive,
                                           .accuracy_objective = false,
                                           .constraints = one.constraints});
      ASSERT_TRUE(made) << made.error().message();
      EXPECT_EQ(made->search.space, left.size());
      EXPECT_EQ(made->search.evaluations, left.size());
      std::vector<Costs> all, front;
      for (const PricedConfiguration& a : left) {
        const auto priced = table::compose(a.ingredients, made->reference, core::Seconds());
        all.emplace_back(priced.latency.total().count(),
                         priced.energy.total(made->boundary).count());
      }
      for (const TableRow& row : made->rows)
        if (row.on_front)
          front.emplace_back(row.latency.count(), row.energy.count());
      EXPECT_EQ(std::set<Costs>(front.begin(), front.end()), front_of(all));
    }
  }
}

// Every algorithm, with everything that a table keeps besides its front: the margin, the corners of
// all-cloud and all-edge, the fronts of other links and queues.
TEST(Constraints, NoRowOfAnyAlgorithmBreaksThem) {
  const Profile profile = synthetic_profile({.seed = 4});
  for (const Case& one : cases(profile))
    for (const Algorithm algorithm : {Algorithm::nsga2, Algorithm::moead, Algorithm::nspso,
                                      Algorithm::maco, Algorithm::random, Algorithm::exhaustive}) {
      SCOPED_TRACE(one.name);
      const auto made = optimize(
          profile, {.algorithm = algorithm,
                    .constraints = one.constraints,
                    .range = optimizer::LinkRange{core::megabits_per_second(1),
                                                  core::megabits_per_second(200),
                                                  core::milliseconds(1), core::milliseconds(80)},
                    .queues = {core::milliseconds(50)},
                    .margin = 0.5});
      ASSERT_TRUE(made) << made.error().message();
      EXPECT_FALSE(made->rows.empty());
      for (const TableRow& row : made->rows) {
        const auto cut =
            std::find_if(profile.cuts.begin(), profile.cuts.end(),
                         [&](const CutProfile& c) { return c.id == row.configuration.cut(); });
        EXPECT_TRUE(
            one.keeps(*cut, sent_by(profile, row.configuration), !row.ingredients.uses_cloud))
            << row.label;
      }
    }
}

TEST(Constraints, ThatLeaveNothingSayWhichAndWhatWouldDo) {
  const Profile profile = synthetic_profile();
  const auto error = [&](const Constraints& constraints, double floor = 0) {
    const auto made = optimize(profile, {.accuracy_floor = floor, .constraints = constraints});
    EXPECT_FALSE(made);
    return made ? core::Error{} : made.error();
  };
  const core::Error memory = error({.max_edge_memory = Bytes(1000)});
  EXPECT_EQ(memory.code, Errc::invalid_argument);
  EXPECT_THAT(memory.message(), testing::HasSubstr("takes at most 1 kB (the least is "));
  EXPECT_THAT(memory.message(), testing::HasSubstr("edge memory"));
  const core::Error steps = error({.min_edge_steps = 13});
  EXPECT_THAT(steps.message(), testing::HasSubstr("the network has 12"));
  // Each alone would leave something.
  const core::Error both = error({.max_edge_memory = Bytes(5e6), .min_edge_steps = 10});
  EXPECT_THAT(both.message(), testing::HasSubstr("edge memory leaves "));
  EXPECT_THAT(both.message(), testing::HasSubstr("least steps on the edge leaves "));
  EXPECT_EQ(error({.allow_cuts = {"no.such.layer"}}).code, Errc::not_found);
  EXPECT_EQ(error({.min_edge_steps = 5, .max_edge_steps = 4}).code, Errc::invalid_argument);
  EXPECT_EQ(error({.max_transfer = Bytes(-1)}).code, Errc::invalid_argument);
  EXPECT_THAT(error({}, 0.99).message(), testing::HasSubstr("accuracy of 0.99 (the best is 0.92)"));
}

TEST(Constraints, AModuleNamesAllItsLayers) {
  Profile profile = synthetic_profile();
  for (std::size_t c = 3; c < 7; ++c) profile.cuts[c].layer = "block." + std::to_string(c);
  profile.cuts[8].layer = "blocks";
  const auto made = optimize(
      profile, {.algorithm = Algorithm::exhaustive, .constraints = {.allow_cuts = {"block"}}});
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->search.space, 4u * 3 * 8 * 2 + 8);
}

// A merged profile may tell the memory of some cuts only.
TEST(Constraints, CutsWhoseMemoryIsNotKnownFitNoLimit) {
  Profile profile = synthetic_profile();
  profile.cuts[4].head_memory = Bytes();
  profile.cuts[6].tail_memory = Bytes();
  const auto cuts_of = [&](const Constraints& constraints) {
    std::set<core::CutId> cuts;
    const auto made = optimize(
        profile, {.algorithm = Algorithm::exhaustive, .constraints = constraints, .margin = 10});
    EXPECT_TRUE(made) << made.error().message();
    for (const TableRow& row : made->rows) cuts.insert(row.configuration.cut());
    return cuts;
  };
  const auto edge = cuts_of({.max_edge_memory = Bytes(1e12)});
  EXPECT_FALSE(edge.contains(profile.cuts[4].id));
  EXPECT_TRUE(edge.contains(profile.cuts[6].id));
  EXPECT_TRUE(edge.contains(profile.cuts.front().id));
  EXPECT_TRUE(edge.contains(profile.cuts.back().id));
  const auto cloud = cuts_of({.max_cloud_memory = Bytes(1e12)});
  EXPECT_TRUE(cloud.contains(profile.cuts[4].id));
  EXPECT_FALSE(cloud.contains(profile.cuts[6].id));
  EXPECT_TRUE(cloud.contains(profile.cuts.back().id));
}

TEST(Constraints, OnWhatAnOldProfileDoesNotTellAreRefused) {
  Profile profile = synthetic_profile();
  for (CutProfile& cut : profile.cuts) {
    cut.head_memory = cut.tail_memory = Bytes();
    cut.input_known = false;
  }
  for (const Constraints& constraints :
       {Constraints{.no_raw_input = true}, Constraints{.max_edge_memory = Bytes(1e9)},
        Constraints{.max_cloud_memory = Bytes(1e9)}}) {
    const auto made = optimize(profile, {.constraints = constraints});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, Errc::unsupported);
  }
  EXPECT_TRUE(
      optimize(profile, {.constraints = {.max_transfer = Bytes(1e9), .min_edge_steps = 1}}));
}

}  // namespace
}  // namespace cleave
