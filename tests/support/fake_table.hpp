// A Pareto table of one row per cut of a fake network.
#pragma once

#include "tests/support/fake_executable.hpp"

#include <cleave/table/pareto_table.hpp>
#include <cleave/table/predictor.hpp>

#include <string>

namespace cleave::tests {

/// Each step takes `step` on the edge and nothing in the cloud; the more on the edge, the more
/// energy.
inline table::ParetoTable table_of(const FakeExecutable& model,
                                   core::Seconds step = core::milliseconds(1)) {
  table::ParetoTable table;
  table.model = model.fingerprint();
  table.reference = {core::milliseconds(1), core::megabits_per_second(100),
                     core::megabits_per_second(100)};
  for (const core::Cut& cut : model.cuts()) {
    table::TableRow row;
    row.configuration.stages = {{core::edge_host, cut.id, {}},
                                {core::cloud_host, model.cuts().back().id, {}}};
    row.configuration.codecs = {"raw"};
    row.ingredients.uses_cloud = cut.position != model.step_count();
    row.ingredients.edge_compute = step * static_cast<double>(cut.position);
    row.ingredients.edge_busy = core::Watts(10);
    row.ingredients.edge_idle = core::Watts(1);
    row.ingredients.cloud_device = core::Watts(3);
    row.ingredients.accuracy = {1, 1, table::Accuracy::Basis::agreement};
    const auto composed = table::compose(row.ingredients, table.reference, core::Seconds(0));
    row.latency = composed.latency.total();
    row.energy = composed.energy.total(table.boundary);
    row.label = "after " + std::to_string(cut.position);
    table.rows.push_back(row);
  }
  return table;
}

}  // namespace cleave::tests
