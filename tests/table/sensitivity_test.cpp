#include "tests/support/synthetic_profile.hpp"
#include "tests/table/sample.hpp"

#include <cleave/table/sensitivity.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace {

using namespace cleave;
using core::Boundary;
using table::ParetoTable;
using table::PowerPart;

// Every configuration of a synthetic profile.
ParetoTable whole_space(std::uint64_t seed, Boundary boundary) {
  const auto profile =
      test::synthetic_profile({.seed = seed, .steps = 6, .shares = {0.25, 0.5, 1}});
  ParetoTable out;
  out.boundary = boundary;
  out.reference = table::link_of(profile);
  for (const auto& cut : profile.cuts)
    for (const std::string& codec : profile.codecs)
      for (const auto& edge : profile.hosts[0].settings)
        for (const auto& cloud : profile.hosts[1].settings) {
          table::TableRow row;
          row.configuration = {.stages = {{core::edge_host, cut.id, edge.levels},
                                          {core::cloud_host, profile.cuts.back().id, cloud.levels}},
                               .codecs = {codec}};
          const auto priced = table::price(profile, row.configuration);
          if (!priced)
            continue;
          row.ingredients = *priced;
          out.rows.push_back(row);
        }
  return out;
}

// By the closed form of the energy's parts: each is linear in its watts.
double energy(const ParetoTable& table, const table::TableRow& row, PowerPart part, double factor) {
  const auto parts = table::compose(row.ingredients, table.reference, core::Seconds()).energy;
  const auto weight = [&](PowerPart other) { return part == other ? factor : 1.0; };
  double sum = weight(PowerPart::edge_busy) * parts.edge_compute.count() +
               weight(PowerPart::edge_idle) * parts.edge_wait.count() +
               weight(PowerPart::radio) * parts.radio.count();
  if (table.boundary == Boundary::edge_cloud_device)
    sum += weight(PowerPart::cloud) * parts.cloud_device.count();
  if (table.boundary == Boundary::edge_cloud_machine)
    sum += weight(PowerPart::cloud) * parts.cloud_machine.count();
  return sum;
}

TEST(PowerSensitivity, IsWhatABruteForceOverDeadlinesFinds) {
  std::size_t changed_somewhere = 0;
  for (const Boundary boundary :
       {Boundary::edge, Boundary::edge_cloud_device, Boundary::edge_cloud_machine})
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      const ParetoTable table = whole_space(seed, boundary);
      const auto latency = [&](const table::TableRow& row) {
        return table::compose(row.ingredients, table.reference, core::Seconds())
            .latency.total()
            .count();
      };
      std::set<double> deadlines;
      for (const auto& row : table.rows) deadlines.insert(latency(row));
      const auto found = table::power_sensitivity(table, {0.7, 1.3, 1});
      EXPECT_EQ(found.size(), boundary == Boundary::edge ? 9U : 12U);
      for (const auto& line : found) {
        std::size_t changed = 0;
        double sum = 0, worst = 0;
        for (const double deadline : deadlines) {
          double least_modelled = INFINITY, least = INFINITY;
          for (const auto& row : table.rows)
            if (latency(row) <= deadline) {
              least_modelled = std::min(least_modelled, energy(table, row, line.part, 1));
              least = std::min(least, energy(table, row, line.part, line.factor));
            }
          double chosen = INFINITY;  // of equals by the model, any
          for (const auto& row : table.rows)
            if (latency(row) <= deadline &&
                energy(table, row, line.part, 1) <= least_modelled * (1 + 1e-12))
              chosen = std::min(chosen, energy(table, row, line.part, line.factor));
          const double regret = chosen / least - 1;
          changed += regret > 1e-12 ? 1 : 0;
          sum += regret;
          worst = std::max(worst, regret);
        }
        EXPECT_EQ(line.decisions, deadlines.size());
        EXPECT_EQ(line.changed, changed) << to_string(line.part) << " x " << line.factor;
        EXPECT_NEAR(line.mean_regret, sum / static_cast<double>(deadlines.size()), 1e-9);
        EXPECT_NEAR(line.worst_regret, worst, 1e-9);
        // A model that is right loses nothing.
        if (line.factor == 1) {
          EXPECT_EQ(line.changed, 0U);
        }
        changed_somewhere += changed;
      }
    }
  EXPECT_GT(changed_somewhere, 0U);
}

TEST(PowerSensitivity, ByHandForTwoRows) {
  // On the edge 100 ms at 1 W: 0.1 J. In the cloud 50 ms at the edge's idle 1.8 W: 0.09 J.
  ParetoTable table;
  table.boundary = Boundary::edge;
  table.reference = {core::milliseconds(50), core::megabits_per_second(1),
                     core::megabits_per_second(1)};
  table.rows.resize(2);
  table.rows[0].ingredients.edge_compute = core::milliseconds(100);
  table.rows[0].ingredients.edge_busy = core::Watts(1);
  table.rows[1].ingredients.uses_cloud = true;
  table.rows[1].ingredients.edge_idle = core::Watts(1.8);
  const auto found = table::power_sensitivity(table);
  ASSERT_EQ(found.size(), 4U);
  // Computing at 0.7 W needs 0.07 J, where the model chose 0.09 J; up to 100 ms nothing else fits.
  EXPECT_EQ(found[0].part, PowerPart::edge_busy);
  EXPECT_EQ(found[0].decisions, 2U);
  EXPECT_EQ(found[0].changed, 1U);
  EXPECT_NEAR(found[0].worst_regret, 9.0 / 7 - 1, 1e-12);
  EXPECT_NEAR(found[0].mean_regret, (9.0 / 7 - 1) / 2, 1e-12);
  EXPECT_EQ(found[1].changed, 0U);
  // Waiting at 1.3 * 1.8 W needs 0.117 J, and the edge 0.1 J.
  EXPECT_EQ(found[3].part, PowerPart::edge_idle);
  EXPECT_NEAR(found[3].worst_regret, 0.17, 1e-12);
}

TEST(PowerSensitivity, MeasuredEnergiesHaveNone) {
  ParetoTable table = tests::sample_table();
  EXPECT_FALSE(table::power_sensitivity(table).empty());
  for (auto& row : table.rows) row.ingredients.origin = core::Origin::measured;
  EXPECT_TRUE(table::power_sensitivity(table).empty());
  EXPECT_TRUE(table::power_sensitivity(ParetoTable()).empty());
}

}  // namespace
