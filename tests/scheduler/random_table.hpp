// Tables, links and requests without a profile behind them.
#pragma once

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/table/pareto_table.hpp>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

namespace cleave::test {

class Dice {
 public:
  explicit Dice(std::uint64_t seed) : engine_(seed) {}
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(engine_() >> 11) * 0x1p-53;
  }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(engine_() % n); }
  bool chance(double p) { return between(0, 1) < p; }

 private:
  std::mt19937_64 engine_;
};

inline std::vector<core::Knob> some_knobs(core::HostIndex host) {
  core::Knob share, threads;
  share.name = "cpu_share";
  share.host = threads.host = host;
  share.switch_cost = core::milliseconds(3);
  for (const double value : {0.25, 0.5, 0.75, 1.0})
    share.levels.push_back({std::to_string(value), value});
  threads.name = "threads";
  threads.switch_cost = core::milliseconds(1);
  threads.levels = {{"1", 1}, {"2", 2}};
  return host == core::edge_host ? std::vector{share, threads} : std::vector{threads};
}

/// Rows of every kind, not only good ones; the first is all-edge and the second all-cloud.
inline table::ParetoTable random_table(std::size_t rows, std::uint64_t seed) {
  using core::Bytes;
  using core::milliseconds;
  using core::Seconds;
  using core::Watts;
  Dice dice(seed);
  table::ParetoTable table;
  table.model_name = "random";
  table.edge_knobs = some_knobs(core::edge_host);
  table.cloud_knobs = some_knobs(core::cloud_host);
  table.reference = {milliseconds(10), core::megabits_per_second(20),
                     core::megabits_per_second(20)};
  for (std::size_t i = 0; i < rows; ++i) {
    table::TableRow row;
    table::Ingredients& in = row.ingredients;
    in.uses_cloud = i == 0 ? false : i == 1 || dice.chance(0.8);
    in.edge_compute = i == 1 || (in.uses_cloud && dice.chance(0.1))
                          ? Seconds()
                          : milliseconds(dice.between(5, 300));
    in.edge_busy = Watts(dice.between(3, 6));
    in.edge_idle = Watts(dice.between(1, 3));
    in.spread = dice.between(0.01, 0.1);
    in.accuracy = {dice.between(0.85, 0.95), 1000, table::Accuracy::Basis::labels};
    if (in.uses_cloud) {
      in.cloud_compute = milliseconds(dice.between(1, 40));
      in.encode_first = milliseconds(dice.between(0.1, 2));
      in.encode_rest = milliseconds(dice.between(0, 10));
      in.decode_rest = milliseconds(dice.between(0, 10));
      in.decode_last = milliseconds(dice.between(0.1, 2));
      in.overhead = milliseconds(0.3);
      in.up = Bytes(dice.between(1e3, 4e5));
      in.down = Bytes(dice.between(50, 5e3));
      in.ramp_round_trips = dice.between(0, 3);
      in.cloud_device = Watts(dice.between(10, 60));
      in.cloud_machine = Watts(dice.between(60, 200));
      in.transmit = core::JoulesPerByte(1e-7);
      in.receive = core::JoulesPerByte(5e-8);
    }
    row.configuration.stages = {
        {core::edge_host,
         {i + 1},
         {static_cast<core::LevelIndex>(dice.below(4)),
          static_cast<core::LevelIndex>(dice.below(2))}},
        {core::cloud_host, {rows + 1}, {static_cast<core::LevelIndex>(dice.below(2))}}};
    row.configuration.codecs = {"raw"};
    row.label = "row " + std::to_string(i);
    row.on_front = i < 2 || dice.chance(0.5);
    const auto made = table::compose(in, table.reference, Seconds());
    row.latency = made.latency.total();
    row.energy = made.energy.total(table.boundary);
    table.rows.push_back(row);
  }
  return table;
}

inline std::shared_ptr<const table::ParetoTable> share(table::ParetoTable table) {
  return std::make_shared<const table::ParetoTable>(std::move(table));
}

}  // namespace cleave::test
