// How near to an oracle the scheduler comes on runs of known truth, with tables from a search that
// looked at a tenth of the configurations: the spaces of tests/support/synthetic_observations.hpp,
// replayed with learning and without it. A line per space and case over all seeds.
//
//   cleave_bench_replay [--seeds 20] [--requests 1000] [--budget 10] [--space NAME]
//
// energy: over the oracle's, mean and largest over the seeds (goal: 5 % at no more misses). misses:
// of the requests, and the oracle's, which goes by means and so misses deadlines near one.
// "wrong row": the row that the replay uses most is entered with half of its latency and energy;
// "its" are the misses of requests that ran it, the most over the seeds, and "wrong" those of them
// that took over 1.25 times what was expected then: those that the entry is to blame for (goal: two
// at most). The others are deadlines as near as one run is to the next, of which a tenth may be
// missed at a confidence of 0.9; "learning" has as many of that row as entered right.
#include "tests/support/synthetic_observations.hpp"

#include <cleave/optimizer/observations.hpp>
#include <cleave/scheduler/replay.hpp>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace cleave;

int failed(const core::Error& error) {
  std::fprintf(stderr, "cleave_bench_replay: %s\n", error.message().c_str());
  return 1;
}

// Deadlines from the quickest configuration's mean latency to the most frugal one's.
core::Result<std::vector<table::TimedRequest>> requests_for(const table::Observations& observations,
                                                            std::size_t count, std::uint64_t seed) {
  table::ObservedRun quickest = mean_of(observations.configurations.front()), frugal = quickest;
  for (const auto& configuration : observations.configurations) {
    const table::ObservedRun mean = mean_of(configuration);
    if (mean.latency < quickest.latency)
      quickest = mean;
    if (mean.energy < frugal.energy)
      frugal = mean;
  }
  return table::make_requests({.pattern = table::RequestPattern::uniform,
                               .count = count,
                               .seed = seed,
                               .shortest = quickest.latency,
                               .longest = std::max(quickest.latency, frugal.latency) * 1.2});
}

// The configuration that most requests ran.
std::uint32_t favourite(const table::RunLog& log) {
  std::map<std::uint32_t, int> uses;
  for (const table::RequestOutcome& outcome : log.outcomes) ++uses[outcome.row];
  return std::max_element(uses.begin(), uses.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// The table with that configuration entered as half of what it takes.
std::shared_ptr<const table::ParetoTable> with_wrong_row(table::ParetoTable table,
                                                         const std::string& label) {
  for (table::TableRow& row : table.rows)
    if (row.label == label) {
      row.ingredients.edge_compute = row.ingredients.edge_compute * 0.5;
      row.latency = row.latency * 0.5;
      row.energy = row.energy * 0.5;
    }
  return std::make_shared<const table::ParetoTable>(std::move(table));
}

struct Case {
  std::size_t count = 0, missed = 0, oracle_missed = 0, its_misses = 0, its_wrong = 0;
  double energy = 0, most_energy = 0;

  void add(const table::RunSummary& run, const table::RunSummary& oracle, std::size_t of_the_row,
           std::size_t wrong) {
    ++count;
    missed += run.missed;
    oracle_missed += oracle.missed;
    its_misses = std::max(its_misses, of_the_row);
    its_wrong = std::max(its_wrong, wrong);
    const double extra = run.mean_energy / oracle.mean_energy - 1;
    energy += extra;
    most_energy = std::max(most_energy, extra);
  }
  void print(std::string_view space, const char* name, std::size_t requests) const {
    const auto all = static_cast<double>(count * requests);
    std::printf("%-12s %-22s %+7.2f%% %+7.2f%% %7.2f%% %7.2f%% %7zu %7zu\n",
                std::string(space).c_str(), name, 100 * energy / static_cast<double>(count),
                100 * most_energy, 100 * static_cast<double>(missed) / all,
                100 * static_cast<double>(oracle_missed) / all, its_misses, its_wrong);
  }
};

// Those that took over `factor` times what was expected.
std::size_t misses_of(const table::RunLog& log, std::uint32_t row, double factor = 0) {
  return static_cast<std::size_t>(
      std::count_if(log.outcomes.begin(), log.outcomes.end(), [&](const auto& outcome) {
        return outcome.row == row && !outcome.met() && outcome.latency > outcome.predicted * factor;
      }));
}

struct Cases {
  Case learning, stubborn, wrong_learning, wrong_stubborn;
};

core::Result<void> replay_seed(const test::SyntheticSpace& space, std::uint64_t seed, double budget,
                               std::size_t count, Cases& cases) {
  const table::Observations observations = test::synthetic_observations(space, seed);
  auto found = optimizer::optimize(observations, {.budget_share = budget, .seed = seed});
  if (!found)
    return core::fail(found);
  const auto requests = requests_for(observations, count, seed);
  if (!requests)
    return core::fail(requests);
  const auto run = [&](const std::shared_ptr<const table::ParetoTable>& table, bool learn) {
    const std::vector<std::string> policies{"cleave", "oracle"};
    scheduler::ReplayOptions options{.seed = seed};
    options.policy.confidence = 0.9;
    options.policy.learning.enabled = learn;
    return scheduler::replay(observations, table, *requests, policies, options);
  };
  const auto table = std::make_shared<const table::ParetoTable>(found->table);
  std::uint32_t used = 0;
  std::shared_ptr<const table::ParetoTable> wrong;
  for (Case* one :
       {&cases.learning, &cases.stubborn, &cases.wrong_learning, &cases.wrong_stubborn}) {
    const bool is_wrong = one == &cases.wrong_learning || one == &cases.wrong_stubborn;
    const auto logs =
        run(is_wrong ? wrong : table, one == &cases.learning || one == &cases.wrong_learning);
    if (!logs)
      return core::fail(logs);
    if (one == &cases.learning) {
      used = favourite(logs->front());
      wrong = with_wrong_row(
          found->table,
          table::describe(observations.knobs, observations.configurations[used].levels));
    }
    one->add(summarise(logs->front()), summarise(logs->back()), misses_of(logs->front(), used),
             misses_of(logs->front(), used, 1.25));
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 20, requests = 1000;
  double budget = 10;
  std::string_view only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--seeds")
      seeds = std::strtoull(argv[i + 1], nullptr, 10);
    else if (option == "--requests")
      requests = std::strtoull(argv[i + 1], nullptr, 10);
    else if (option == "--budget")
      budget = std::strtod(argv[i + 1], nullptr);
    else if (option == "--space")
      only = argv[i + 1];
    else
      return std::fprintf(stderr, "cleave_bench_replay: unknown option %s\n", argv[i]), 2;
  }
  std::printf("%-12s %-22s %8s %8s %8s %8s %7s %7s\n", "space", "case", "energy", "most", "misses",
              "oracle", "its", "wrong");
  for (const auto& space : test::synthetic_spaces) {
    if (!only.empty() && only != space.name)
      continue;
    Cases cases;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed)
      if (auto done = replay_seed(space, seed, budget / 100, requests, cases); !done)
        return failed(done.error());
    cases.learning.print(space.name, "learning", requests);
    cases.stubborn.print(space.name, "not learning", requests);
    cases.wrong_learning.print(space.name, "wrong row, learning", requests);
    cases.wrong_stubborn.print(space.name, "wrong row, not learning", requests);
    std::fflush(stdout);
  }
  return 0;
}
