// A Pareto table of two rows for the consumers: all on the edge, and all in the cloud.
#pragma once

#include <cleave/table/pareto_table.hpp>

inline cleave::table::ParetoTable toy_table(cleave::core::Fingerprint model,
                                            cleave::core::CutId first, cleave::core::CutId last) {
  using namespace cleave;
  table::ParetoTable table;
  table.model = model;
  table.model_name = "toy";
  table.reference = {core::milliseconds(10), core::BytesPerSecond(2.5e6),
                     core::BytesPerSecond(2.5e6)};

  table::TableRow edge;
  edge.configuration = {{{core::edge_host, last, {}}, {core::cloud_host, last, {}}}, {"raw"}};
  edge.ingredients.edge_compute = core::milliseconds(200);
  edge.ingredients.edge_busy = core::Watts(5);
  edge.label = "all on the edge";

  table::TableRow cloud;
  cloud.configuration = {{{core::edge_host, first, {}}, {core::cloud_host, last, {}}}, {"raw"}};
  cloud.ingredients.uses_cloud = true;
  cloud.ingredients.cloud_compute = core::milliseconds(5);
  cloud.ingredients.up = core::Bytes(10000);
  cloud.ingredients.down = core::Bytes(40);
  cloud.ingredients.cloud_device = core::Watts(500);
  cloud.label = "all in the cloud";

  table.rows = {edge, cloud};
  for (table::TableRow& row : table.rows) {
    const auto predicted = table::compose(row.ingredients, table.reference, core::Seconds(0));
    row.latency = predicted.latency.total();
    row.energy = predicted.energy.total(table.boundary);
  }
  return table;
}
