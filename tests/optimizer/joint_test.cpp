#include "tests/support/synthetic_profile.hpp"

#include <cleave/optimizer/joint.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace cleave {
namespace {

using core::Errc;
using core::Seconds;
using optimizer::JointChoice;
using optimizer::JointModel;
using optimizer::JointOptions;
using optimizer::optimize_jointly;
using table::Profile;
using test::synthetic_profile;

struct One {
  double power = 0, tightness = 0, edge = 0, link = 0;
};

// Every configuration of a model at one setting of the edge, by the predictor alone.
std::vector<One> each(const JointModel& model, std::size_t setting, const table::LinkState& link) {
  const Profile& profile = *model.profile;
  std::vector<One> out;
  for (const table::CutProfile& cut : profile.cuts)
    for (const std::string& codec : profile.codecs)
      for (const table::Setting& cloud : profile.hosts[1].settings) {
        core::Configuration c;
        c.stages = {{core::edge_host, cut.id, profile.hosts[0].settings[setting].levels},
                    {core::cloud_host, profile.cuts.back().id, cloud.levels}};
        c.codecs = {codec};
        const auto in = table::price(profile, c);
        if (!in || in->accuracy.value < model.accuracy_floor)
          continue;
        const auto made = table::compose(*in, link, Seconds());
        out.push_back({model.rate * made.energy.total(core::Boundary::edge_cloud_device).count(),
                       made.latency.total() / model.deadline,
                       model.rate * (in->edge_compute + in->encode_first + in->encode_rest).count(),
                       in->uses_cloud ? model.rate * (in->up / link.up).count() : 0});
      }
  return out;
}

// The front of all combinations, by nested loops.
std::set<std::pair<double, double>> brute_force(const std::vector<JointModel>& models,
                                                const JointOptions& options) {
  const table::LinkState link = table::link_of(*models[0].profile);
  std::vector<std::pair<double, double>> all;
  for (std::size_t s = 0; s < models[0].profile->hosts[0].settings.size(); ++s) {
    std::vector<One> sums = {{}};
    for (const JointModel& model : models) {
      std::vector<One> next;
      for (const One& one : each(model, s, link))
        for (const One& sum : sums)
          if (one.tightness <= 1)
            next.push_back({sum.power + one.power, std::max(sum.tightness, one.tightness),
                            sum.edge + one.edge, sum.link + one.link});
      sums = std::move(next);
    }
    for (const One& sum : sums)
      if (sum.edge <= options.max_edge_load && sum.link <= options.max_link_load)
        all.emplace_back(sum.power, sum.tightness);
  }
  std::sort(all.begin(), all.end());
  std::set<std::pair<double, double>> front;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& [power, tightness] : all)
    if (tightness < least) {
      front.emplace(power, tightness);
      least = tightness;
    }
  return front;
}

struct Two {
  Profile a = synthetic_profile({.seed = 1, .steps = 5});
  Profile b = synthetic_profile({.seed = 2, .steps = 6, .edge_pass = 0.08});
  std::vector<JointModel> models(double rate_a, double rate_b, double ms_a, double ms_b) {
    return {{&a, rate_a, core::milliseconds(ms_a)}, {&b, rate_b, core::milliseconds(ms_b)}};
  }
};

TEST(Joint, FindsTheFrontOfABruteForceWhereLoadsLeaveRoom) {
  Two two;
  for (const double deadline : {120.0, 200.0, 400.0}) {
    const auto models = two.models(1, 2, deadline, deadline / 2);
    const auto made = optimize_jointly(models);
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_TRUE(made->exact);
    const auto front = brute_force(models, {});
    ASSERT_EQ(made->choices.size(), front.size());
    auto expected = front.begin();
    for (const JointChoice& choice : made->choices) {
      EXPECT_NEAR(choice.power.count(), expected->first, 1e-9 * expected->first);
      EXPECT_NEAR(choice.tightness, expected->second, 1e-9);
      ++expected;
    }
    EXPECT_NEAR(made->bound.count(), front.begin()->first, 1e-9 * front.begin()->first);
    // 8 settings; cuts x codecs x cloud settings of each, all-edge once.
    EXPECT_EQ(made->space, 8.0 * (5 * 3 * 2 + 1) * (6 * 3 * 2 + 1));
  }
}

TEST(Joint, FindsTheFrontOfABruteForceWhereLoadsBind) {
  Two two;
  const Profile third = synthetic_profile({.seed = 3, .steps = 2, .codecs = {"raw", "int8"}});
  std::mt19937_64 random(5);
  int bound = 0, points = 0;
  for (int i = 0; i < 60; ++i) {
    auto models =
        two.models(2 + 6 * test::uniform(random), 2 + 8 * test::uniform(random), 250, 150);
    if (i % 6 == 0)
      models.push_back({&third, 1 + 3 * test::uniform(random), core::milliseconds(200)});
    JointOptions options;
    options.max_edge_load = 0.3 + 0.5 * test::uniform(random);
    options.max_link_load = 0.1 + 0.5 * test::uniform(random);
    const auto front = brute_force(models, options);
    const auto made = optimize_jointly(models, options);
    ASSERT_EQ(made.has_value(), !front.empty());
    if (!made) {
      EXPECT_EQ(made.error().code, Errc::invalid_argument);
      continue;
    }
    const auto free = optimize_jointly(models);
    bound += made->choices[0].power > free->choices[0].power ? 1 : 0;
    points += static_cast<int>(front.size());
    EXPECT_TRUE(made->exact);
    EXPECT_EQ(made->bound, made->choices[0].power);
    ASSERT_EQ(made->choices.size(), front.size());
    auto expected = front.begin();
    for (const JointChoice& choice : made->choices) {
      EXPECT_NEAR(choice.power.count(), expected->first, 1e-9 * expected->first);
      EXPECT_NEAR(choice.tightness, expected->second, 1e-9);
      EXPECT_LE(choice.edge_load, options.max_edge_load);
      EXPECT_LE(choice.link_load, options.max_link_load);
      ++expected;
    }
  }
  EXPECT_GE(bound, 20);  // loads that do
  EXPECT_GE(points, 100);
}

TEST(Joint, StoppedItSaysThatThereMayBeBetter) {
  Two two;
  std::stop_source stop;
  stop.request_stop();
  JointOptions options;
  options.stop = stop.get_token();
  const auto made = optimize_jointly(two.models(1, 1, 400, 400), options);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::cancelled);
}

TEST(Joint, AllNetworksOfAChoiceShareTheSettingOfTheEdgeAndKeepTheirDeadlines) {
  Two two;
  const Profile third = synthetic_profile({.seed = 3, .steps = 8});
  auto models = two.models(1, 1, 150, 90);
  models.push_back({&third, 0.5, core::milliseconds(300), 0.9, {.no_raw_input = true}});
  const auto made = optimize_jointly(models);
  ASSERT_TRUE(made) << made.error().message();
  for (const JointChoice& choice : made->choices) {
    ASSERT_EQ(choice.rows.size(), 3u);
    double power = 0, tightness = 0;
    for (std::size_t m = 0; m < 3; ++m) {
      const table::TableRow& row = choice.rows[m];
      EXPECT_EQ(row.configuration.stages[0].levels, choice.rows[0].configuration.stages[0].levels);
      EXPECT_EQ(row.ingredients, table::price(*models[m].profile, row.configuration).value());
      EXPECT_LE(row.latency, models[m].deadline);
      power += models[m].rate * row.energy.count();
      tightness = std::max(tightness, row.latency / models[m].deadline);
    }
    EXPECT_NEAR(choice.power.count(), power, 1e-9 * power);
    EXPECT_NEAR(choice.tightness, tightness, 1e-12);
    EXPECT_NE(choice.rows[2].configuration.cut(), third.cuts.front().id);
    EXPECT_GE(choice.rows[2].ingredients.accuracy.value, 0.9);
  }
  for (std::size_t i = 1; i < made->choices.size(); ++i) {
    EXPECT_GT(made->choices[i].power, made->choices[i - 1].power);
    EXPECT_LT(made->choices[i].tightness, made->choices[i - 1].tightness);
  }
}

TEST(Joint, SaysWhatIsWrong) {
  Two two;
  const auto error = [&](const std::vector<JointModel>& models, const JointOptions& options = {}) {
    const auto made = optimize_jointly(models, options);
    EXPECT_FALSE(made);
    return made ? core::Error{} : made.error();
  };
  EXPECT_EQ(error({}).code, Errc::invalid_argument);
  EXPECT_EQ(error(two.models(0, 1, 100, 100)).code, Errc::invalid_argument);
  EXPECT_THAT(error(two.models(1, 1, 1, 100)).message(),
              testing::HasSubstr("meets 1 ms; the fastest takes "));
  JointOptions options;
  options.max_edge_load = 2;
  EXPECT_EQ(error(two.models(1, 1, 100, 100), options).code, Errc::invalid_argument);
  EXPECT_THAT(error(two.models(1000, 1000, 400, 400)).message(), testing::HasSubstr("busier"));
  const Profile other = synthetic_profile({.shares = {0.5, 1}});
  EXPECT_EQ(error({{&two.a, 1}, {&other, 1}}).code, Errc::mismatch);
}

TEST(Joint, WithoutDeadlinesTheLeastPowerIsAllThereIs) {
  Two two;
  const double none = std::numeric_limits<double>::infinity();
  const auto made = optimize_jointly(two.models(0.1, 0.1, none, none));
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->choices.size(), 1u);
  EXPECT_EQ(made->choices[0].tightness, 0);
  EXPECT_EQ(made->choices[0].power, made->bound);
}

}  // namespace
}  // namespace cleave
