// What beginning and ending at a cut costs, with a network of which it is known.
#include "profiler/crossing.hpp"

#include "tests/profiler/profiler_fixture.hpp"
#include "tests/support/retimed_executable.hpp"

#include <cleave/table/predictor.hpp>

namespace cleave::tests {
namespace {

using core::Seconds;

TEST(Crossing, ALineGoesThroughTheMiddleOfItsPoints) {
  const std::vector<double> bytes{1000, 2000, 3000, 4000, 5000};
  std::vector<double> seconds;
  for (const double b : bytes) seconds.push_back(1e-4 + 2e-8 * b);
  auto cost = profiler::line_through(bytes, seconds);
  EXPECT_NEAR(cost.fixed.count(), 1e-4, 1e-12);
  EXPECT_NEAR(cost.per_byte, 2e-8, 1e-15);
  seconds[2] = 0.5;  // disturbed
  cost = profiler::line_through(bytes, seconds);
  EXPECT_NEAR(cost.fixed.count(), 1e-4, 2e-5);
  EXPECT_NEAR(cost.per_byte, 2e-8, 5e-9);
  EXPECT_EQ(profiler::line_through({}, {}), table::CrossingCost());
  EXPECT_EQ(profiler::line_through({100, 100}, {2, 4}).fixed, Seconds(3));
  EXPECT_EQ(profiler::line_through({1, 2}, {4, 2}).per_byte, 0) << "never less for more";
}

TEST_F(ProfilerTest, WhatACutCostsBeyondItsStepsIsPredicted) {
  // Heads take 2 ms longer than their steps unless they are all of the network, tails 3 ms unless
  // they are.
  const auto crossed = std::make_shared<RetimedExecutable>(
      model, [&](core::CutId begin, core::CutId end, std::span<core::StepTime>) {
        const bool ends = end != model->cuts().back().id && begin != end;
        const bool begins = begin != model->cuts().front().id && begin != end;
        clock.advance(core::milliseconds((ends ? 2 : 0) + (begins ? 3 : 0)));
      });
  FakeCloud there(clock, crossed);
  there.round_trip = cloud.round_trip;
  there.rate = cloud.rate;
  profiler::MeasureService service(there.models, *cloud_knobs, cloud_host);
  there.handlers["profile/measure"] = [&](std::span<const std::byte> body) {
    return service.measure(body);
  };
  const auto profile = profiler::profile(crossed, model->example(), *knobs, there, options);
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_NEAR(profile->hosts[core::edge_host].crossing.fixed.count(), 0.002, 1e-9);
  EXPECT_NEAR(profile->hosts[core::cloud_host].crossing.fixed.count(), 0.003, 1e-9);
  const auto priced = [&](std::size_t cut) {
    core::Configuration configuration;
    configuration.stages = {{core::edge_host, model->cuts()[cut].id, {0}},
                            {core::cloud_host, model->cuts().back().id, {0}}};
    configuration.codecs = {"raw"};
    return *table::price(*profile, configuration);
  };
  EXPECT_NEAR(priced(1).edge_compute.count(), 0.003 + 0.002, 1e-9);
  EXPECT_NEAR(priced(1).cloud_compute.count(), 0.012 + 0.003, 1e-9);
  EXPECT_NEAR(priced(0).cloud_compute.count(), 0.015, 1e-9) << "a whole pass";
  EXPECT_NEAR(priced(3).edge_compute.count(), 0.015, 1e-9);
  EXPECT_LT(profile->error.p90_relative, 0.02);
}

}  // namespace
}  // namespace cleave::tests
