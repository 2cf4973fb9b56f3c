// A device, a link and a cloud that change while requests come, with known truth.
#pragma once

#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numbers>
#include <string>
#include <vector>

namespace cleave::test {

/// A network of twelve layers on an edge with four settings: what crosses shrinks with the depth,
/// the cloud is ten times as fast, and offloading mostly saves energy on the reference link.
inline table::ParetoTable network_table(std::uint64_t seed) {
  Dice dice(seed);
  table::ParetoTable table;
  table.model_name = "network";
  table.edge_knobs = some_knobs(core::edge_host);
  table.edge_knobs.pop_back();
  table.boundary = core::Boundary::edge_cloud_device;
  table.reference = {core::milliseconds(10), core::megabits_per_second(20),
                     core::megabits_per_second(20)};
  constexpr std::size_t layers = 12;
  const double whole = dice.between(0.1, 0.3);
  std::vector<double> share(layers), bytes(layers + 1);
  double sum = 0, width = dice.between(1e5, 2e5);
  for (double& one : share) sum += one = dice.between(0.5, 1.5);
  for (double& one : bytes) {
    one = width * dice.between(0.7, 1.3);
    width *= dice.between(0.6, 0.95);
  }
  double head = 0;
  for (std::size_t cut = 0; cut <= layers; ++cut) {
    for (core::LevelIndex level = 0; level < 4; ++level) {
      const double speed = 0.25 * (level + 1);
      table::TableRow row;
      table::Ingredients& in = row.ingredients;
      in.uses_cloud = cut < layers;
      in.edge_compute = core::Seconds(head / sum * whole / speed);
      in.edge_idle = core::Watts(1.2);
      in.edge_busy = core::Watts(1.2 + 4 * speed * speed + speed);
      in.spread = 0.02;
      in.accuracy = {0.9, 1000, table::Accuracy::Basis::labels};
      if (in.uses_cloud) {
        in.cloud_compute = core::Seconds((1 - head / sum) * whole / 10);
        in.encode_first = core::Seconds(bytes[cut] * 1e-9 / speed);
        in.decode_last = core::Seconds(bytes[cut] * 1e-9);
        in.overhead = core::milliseconds(0.3);
        in.up = core::Bytes(bytes[cut]);
        in.down = core::Bytes(400);
        in.cloud_device = core::Watts(15);
        in.transmit = core::JoulesPerByte(1e-7);
        in.receive = core::JoulesPerByte(1e-7);
      }
      row.configuration.stages = {{core::edge_host, {cut + 1}, {level}},
                                  {core::cloud_host, {layers + 1}, {}}};
      row.configuration.codecs = {"raw"};
      row.label = "cut " + std::to_string(cut) + ", level " + std::to_string(level);
      const auto made = table::compose(in, table.reference, core::Seconds());
      row.latency = made.latency.total();
      row.energy = made.energy.total(table.boundary);
      table.rows.push_back(row);
    }
    if (cut < layers)
      head += share[cut];
  }
  return table;
}

/// What is true while request i runs.
struct Truth {
  table::LinkState link;
  core::Seconds queue;         ///< in the cloud
  double edge = 1, cloud = 1;  ///< how many times as long as predicted
};

struct ChangingWorld {
  std::function<Truth(std::size_t request)> truth;
  /// What a client has seen of the link and of the cloud's queue before this request. `ran`: of the
  /// request before, where it used the cloud.
  std::function<void(const table::Ingredients& in, const Truth& truth, core::Seconds now)> saw;
  std::function<table::LinkState(core::Seconds now)> link;
  std::function<core::Seconds()> queue;
};

struct Step {
  bool missed = false, feasible = false;
  double energy = 0, least = 0;  ///< J; `least` of what the truth has in time
  bool cloud = false;
};

/// Requests that the edge alone can make, one after the other. Every part takes what the table says
/// at the truth, times a log-normal factor of 2 %.
inline std::vector<Step> run_changing(scheduler::Policy& policy, const ChangingWorld& world,
                                      std::size_t count, std::uint64_t seed) {
  const table::ParetoTable& table = policy.table();
  Dice dice(seed);
  const auto noise = [&] {
    const double radius = std::sqrt(-2 * std::log(1 - dice.between(0, 1)));
    return std::exp(0.02 * radius * std::cos(2 * std::numbers::pi * dice.between(0, 1)));
  };
  double edge_alone = std::numeric_limits<double>::infinity();
  for (const table::TableRow& row : table.rows)
    if (!row.ingredients.uses_cloud)
      edge_alone = std::min(edge_alone, row.ingredients.edge_compute.count());
  std::vector<Step> steps;
  core::Seconds now;
  for (std::size_t i = 0; i < count; ++i) {
    const Truth truth = world.truth(i);
    const core::Seconds deadline(edge_alone * truth.edge * dice.between(1.3, 4));
    scheduler::LiveState state;
    state.link = world.link(now);
    state.queue = world.queue();
    const auto taken = [&](const table::Ingredients& given) {
      table::Ingredients in = given;
      in.edge_compute = in.edge_compute * truth.edge;
      in.cloud_compute = in.cloud_compute * truth.cloud;
      return table::compose(in, truth.link, truth.queue);
    };
    Step step;
    step.least = std::numeric_limits<double>::infinity();
    for (const table::TableRow& row : table.rows) {
      const auto made = taken(row.ingredients);
      // As sure as the policy wants to be.
      if (made.latency.total() * 1.05 <= deadline)
        step.least = std::min(step.least, made.energy.total(table.boundary).count());
    }
    step.feasible = std::isfinite(step.least);
    const auto decision = policy.decide({.deadline = deadline}, state);
    const table::Ingredients& in = table.rows[decision.row].ingredients;
    const auto made = taken(in);
    const double factor = noise();
    table::LatencyParts took = made.latency;
    for (core::Seconds* part : {&took.edge_compute, &took.encode, &took.transfer, &took.decode,
                                &took.round_trip, &took.cloud_compute, &took.reply, &took.overhead})
      *part = *part * factor;
    step.missed = took.total() > deadline;
    step.energy = made.energy.total(table.boundary).count();
    step.cloud = in.uses_cloud;
    steps.push_back(step);
    now += took.total();
    if (in.uses_cloud)
      world.saw(in, truth, now);
    policy.observe({.row = decision.row, .link = state.link, .measured = took});
    policy.refresh(world.link(now));
  }
  return steps;
}

}  // namespace cleave::test
