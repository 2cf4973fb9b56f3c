// cleave replay: what scheduling policies would have done with observed runs.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/finite.hpp"
#include "cli/json_text.hpp"
#include "cli/parse.hpp"

#include <cleave/core/file.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/scheduler/replay.hpp>
#include <cleave/table/files.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <iostream>

namespace cleave::cli {
namespace {

struct Options {
  std::string observations, table, requests, json, learn = "on", boundary, origin, budget;
  std::vector<std::string> policies;
  std::uint64_t seed = 1;
  double confidence = 0.9;
  bool queue = false;
};

// Fixed configurations come on top of the usual policies, unless others are named, too.
std::vector<std::string> policies_of(const Options& options) {
  const auto fixed = [](const std::string& name) { return name.starts_with("fixed:"); };
  if (!std::all_of(options.policies.begin(), options.policies.end(), fixed))
    return options.policies;
  std::vector<std::string> out = {"cleave", "fastest", "frugal"};
  out.insert(out.end(), options.policies.begin(), options.policies.end());
  out.emplace_back("oracle");
  return out;
}

// As the command line says, else as the table does.
core::Result<scheduler::ReplayOptions> replay_options(const Options& given,
                                                      const table::ParetoTable& table) {
  scheduler::ReplayOptions options;
  options.seed = given.seed;
  options.policy.confidence = given.confidence;
  options.policy.learning.enabled = given.learn == "on";
  options.boundary = table.boundary;
  options.origin = table.rows.empty() ? core::Origin::measured : table.rows[0].ingredients.origin;
  options.queueing = given.queue;
  if (!given.budget.empty()) {
    const auto budget = scheduler::parse_energy_budget(given.budget);
    if (!budget)
      return core::fail(budget);
    options.budget = *budget;
  }
  if (!given.boundary.empty()) {
    const auto boundary = parse_boundary(given.boundary);
    if (!boundary)
      return core::fail(boundary);
    options.boundary = *boundary;
  }
  if (!given.origin.empty()) {
    const auto origin = parse_origin(given.origin);
    if (!origin)
      return core::fail(origin);
    options.origin = *origin;
  }
  return options;
}

void print(const std::vector<table::RunLog>& logs, const scheduler::ReplayOptions& options) {
  using Align = report::TextTable::Align;
  report::TextTable text({{"policy"},
                          {"requests", Align::right},
                          {"missed", Align::right},
                          {"mean energy", Align::right},
                          {"median", Align::right},
                          {"p95", Align::right},
                          {"configurations", Align::right}});
  // Those that the budget had nothing for are among the missed.
  const auto refused = [&](const table::RunSummary& summary) {
    return options.budget ? " (" + std::to_string(summary.failed) + " refused)" : std::string();
  };
  for (const table::RunLog& log : logs) {
    const table::RunSummary summary = table::summarise(log);
    text.add_row({summary.policy, std::to_string(summary.requests),
                  std::to_string(summary.missed) + refused(summary),
                  report::format(summary.mean_energy), report::format(summary.median_latency),
                  report::format(summary.p95_latency),
                  std::to_string(scheduler::distinct_configurations(log))});
  }
  std::cout << "energy: " << core::to_string(options.boundary) << ", "
            << core::to_string(options.origin) << '\n'
            << text.text();
}

std::string json_of(const std::vector<table::RunLog>& logs, const Options& given,
                    const scheduler::ReplayOptions& options) {
  nlohmann::ordered_json policies = nlohmann::ordered_json::array();
  for (const table::RunLog& log : logs) {
    const table::RunSummary summary = table::summarise(log);
    policies.push_back({{"name", summary.policy},
                        {"requests", summary.requests},
                        {"missed", summary.missed},
                        {"mean_energy_j", summary.mean_energy.count()},
                        {"median_latency_ms", summary.median_latency.count() * 1e3},
                        {"p95_latency_ms", summary.p95_latency.count() * 1e3},
                        {"distinct_configurations", scheduler::distinct_configurations(log)}});
    if (options.budget)
      policies.back()["refused"] = summary.failed;
  }
  const nlohmann::ordered_json document = {{"energy_boundary", core::to_string(options.boundary)},
                                           {"energy_origin", core::to_string(options.origin)},
                                           {"seed", given.seed},
                                           {"confidence", given.confidence},
                                           {"learn", given.learn == "on"},
                                           {"queue", given.queue},
                                           {"energy_budget", given.budget},
                                           {"policies", std::move(policies)}};
  // Names of knobs need not be UTF-8.
  return json_text(document) + "\n";
}

core::Result<void> replay(const Options& given) {
  const auto observations = table::load_observations(given.observations);
  if (!observations)
    return core::fail(observations);
  auto table = table::load_table(given.table);
  if (!table)
    return core::fail(table);
  const auto requests = table::load_requests(given.requests);
  if (!requests)
    return core::fail(requests);
  const auto options = replay_options(given, *table);
  if (!options)
    return core::fail(options);
  const auto logs = scheduler::replay(*observations,
                                      std::make_shared<const table::ParetoTable>(std::move(*table)),
                                      *requests, policies_of(given), *options);
  if (!logs)
    return core::fail(logs);
  if (!given.json.empty())
    if (auto written = core::write_file(given.json, json_of(*logs, given, *options)); !written)
      return written;
  print(*logs, *options);
  if (!given.json.empty())
    std::printf("wrote %s\n", given.json.c_str());
  return {};
}

}  // namespace

void add_replay(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("replay", summary_of("replay"));
  command
      ->add_option("--observations", options->observations,
                   "A CSV of runs: knob.NAME, latency_ms, energy_j, accuracy")
      ->required();
  command->add_option("--table", options->table, "A table made by cleave optimize --observations")
      ->required();
  command
      ->add_option("--requests", options->requests,
                   "A CSV of requests: deadline_ms, accuracy_floor, arrival_ms")
      ->required();
  command
      ->add_option("--policy", options->policies,
                   "cleave, fastest, frugal, dynasplit, oracle or fixed:KNOB=VALUE,...; may be "
                   "given several times. Only fixed ones: beside cleave, fastest, frugal, oracle")
      ->take_all();
  command->add_option("--seed", options->seed, "Of the draw of runs, the same for all policies")
      ->capture_default_str();
  command->add_option("--learn", options->learn, "Whether cleave learns from what it saw")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  command
      ->add_option("--confidence", options->confidence,
                   "The share of requests that cleave wants in time")
      ->check(CLI::Range(0.5, 0.9999) & finite())
      ->capture_default_str();
  command->add_option("--boundary", options->boundary,
                      "Whose energy was observed: edge, device or machine (default: the table's)");
  command->add_option("--origin", options->origin,
                      "measured or modelled energy (default: the table's)");
  command->add_flag("--queue", options->queue,
                    "Requests wait while those that arrived before them run");
  command->add_option("--energy-budget", options->budget,
                      "What cleave may spend: a rate (500J/h, 2W), or a battery and how long it is "
                      "to last (20kJ:4h)");
  command->add_option("--json", options->json, "Write the figures to this file, too");
  command->footer(
      "Example:\n  cleave workload weibull --requests 1000 -o req.csv\n"
      "  cleave replay --observations obs.csv --table t.table --requests req.csv --json out.json");
  command->callback([options, &result] {
    if (const auto done = replay(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
