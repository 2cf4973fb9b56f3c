// decide() with 1,000 rows: median and p99, beside composing every row for every request, and what
// composing the table anew costs. Counters: ns; naive_over_decide is a ratio of medians of one run.
#include "tests/scheduler/random_table.hpp"

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/scheduler/streams.hpp>

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

namespace {

using cleave::core::LevelIndex;
using cleave::core::milliseconds;
using cleave::core::Seconds;
using cleave::scheduler::LiveState;
using cleave::scheduler::Request;
using cleave::table::ParetoTable;
using Clock = std::chrono::steady_clock;

constexpr std::size_t row_count = 1000;

// A front as an optimizer leaves it, time against energy, of rows that share a few settings.
std::shared_ptr<const ParetoTable> front_table() {
  ParetoTable table = cleave::test::random_table(row_count, 7);
  cleave::test::Dice dice(7);
  for (std::size_t i = 0; i < table.rows.size(); ++i) {
    auto& row = table.rows[i];
    // The more of it runs fast and far away, the more it costs.
    const double at = static_cast<double>(i) / row_count;
    row.ingredients.edge_compute = milliseconds(400 * (1 - at) + dice.between(0, 20));
    row.ingredients.edge_busy = cleave::core::Watts(1 / (1 - 0.9 * at));
    row.energy =
        cleave::table::compose(row.ingredients, table.reference, {}).energy.total(table.boundary);
  }
  return cleave::test::share(std::move(table));
}

struct Workload {
  std::vector<Request> requests;
  std::vector<LevelIndex> edge = {1, 0}, cloud = {1};
  LiveState state(const ParetoTable& table, std::size_t i) const {
    LiveState out{.link = table.reference};
    out.queue = milliseconds(static_cast<double>(i % 4) * 5);
    out.edge_levels = edge;
    out.cloud_levels = cloud;
    return out;
  }
};

Workload workload() {
  Workload out;
  cleave::test::Dice dice(11);
  for (int i = 0; i < 4096; ++i)
    out.requests.push_back({.deadline = milliseconds(dice.between(1, 600))});
  return out;
}

double nanoseconds(Clock::duration time) {
  return std::chrono::duration<double, std::nano>(time).count();
}

// What reading the clock twice takes, which every figure below is less.
double clock_cost() {
  std::vector<double> times(10'000);
  for (double& time : times) {
    const auto begin = Clock::now();
    time = nanoseconds(Clock::now() - begin);
  }
  std::nth_element(times.begin(), times.begin() + 5000, times.end());
  return times[5000];
}

double quantile(std::vector<double>& times, double q) {
  const auto at = static_cast<std::ptrdiff_t>(q * static_cast<double>(times.size() - 1));
  std::nth_element(times.begin(), times.begin() + at, times.end());
  return times[static_cast<std::size_t>(at)];
}

std::uint32_t naive(const ParetoTable& table, const Request& request, const LiveState& state) {
  std::uint32_t best = cleave::scheduler::no_row;
  double least = std::numeric_limits<double>::infinity();
  for (std::uint32_t i = 0; i < table.rows.size(); ++i) {
    const auto& row = table.rows[i];
    const auto made = cleave::table::compose(row.ingredients, state.link, state.queue);
    Seconds bound = made.latency.total() * (1 + 1.645 * row.ingredients.spread);
    for (std::size_t k = 0; k < state.edge_levels.size(); ++k)
      if (state.edge_levels[k] != row.configuration.stages[0].levels[k])
        bound += table.edge_knobs[k].switch_cost;
    const double energy = made.energy.total(table.boundary).count();
    if (bound <= request.deadline && energy < least) {
      least = energy;
      best = i;
    }
  }
  return best;
}

template <class Decide>
std::vector<double> timed(benchmark::State& bench, const Workload& work, Decide decide) {
  std::vector<double> times;
  const double clock = clock_cost();
  std::size_t i = 0;
  for (auto _ : bench) {
    const auto& request = work.requests[i++ % work.requests.size()];
    const auto begin = Clock::now();
    benchmark::DoNotOptimize(decide(request, i));
    times.push_back(std::max(0.0, nanoseconds(Clock::now() - begin) - clock));
  }
  return times;
}

void decide_1000_rows(benchmark::State& bench) {
  const auto table = front_table();
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    return policy->decide(request, work.state(*table, i));
  });
  // The peer, on the same requests in the same run.
  std::vector<double> peer;
  for (std::size_t i = 0; i < 2000; ++i) {
    const auto begin = Clock::now();
    benchmark::DoNotOptimize(naive(*table, work.requests[i], work.state(*table, i)));
    peer.push_back(nanoseconds(Clock::now() - begin));
  }
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
  bench.counters["naive_median_ns"] = quantile(peer, 0.5);
  bench.counters["naive_over_decide"] = quantile(peer, 0.5) / std::max(1.0, quantile(times, 0.5));
}
BENCHMARK(decide_1000_rows)->Iterations(200'000);

// Rows of no order at all: skipping helps least.
void decide_1000_random_rows(benchmark::State& bench) {
  const auto table = cleave::test::share(cleave::test::random_table(row_count, 3));
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    return policy->decide(request, work.state(*table, i));
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
}
BENCHMARK(decide_1000_random_rows)->Iterations(200'000);

// With what the edge does beside the cloud counted, which the order of rows does not know.
void decide_hedged(benchmark::State& bench) {
  ParetoTable made =
      bench.range(0) != 0 ? cleave::test::random_table(row_count, 3) : ParetoTable(*front_table());
  // An edge that is slow by itself, so that its last moment comes before the reply.
  for (auto& row : made.rows)
    if (!row.ingredients.uses_cloud)
      row.ingredients.edge_compute += milliseconds(300);
  const auto table = cleave::test::share(std::move(made));
  cleave::scheduler::PolicyOptions options;
  options.hedged = true;
  const auto policy = cleave::scheduler::make_policy("cleave", table, options).value();
  const Workload work = workload();
  std::size_t hedged = 0;
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    const auto decision = policy->decide(request, work.state(*table, i));
    hedged += decision.hedging > cleave::core::Joules();
    return decision;
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
  bench.counters["hedged"] = static_cast<double>(hedged) / static_cast<double>(times.size());
}
BENCHMARK(decide_hedged)->ArgName("random")->Arg(0)->Arg(1)->Iterations(200'000);

// A busy edge, more urgent streams and a short budget: every limit that there is.
void decide_under_limits(benchmark::State& bench) {
  const auto table = front_table();
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  std::size_t saving = 0;
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    LiveState state = work.state(*table, i);
    state.edge_wait = milliseconds(static_cast<double>(i % 5) * 10);
    state.edge_limit = milliseconds(200);
    state.energy = {cleave::core::Joules(2), static_cast<double>(i % 8) * 0.07};
    const auto decision = policy->decide(request, state);
    saving += decision.reason == cleave::scheduler::Reason::saving;
    return decision;
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
  bench.counters["saving"] = static_cast<double>(saving) / static_cast<double>(times.size());
}
BENCHMARK(decide_under_limits)->Iterations(200'000);

// A request through Streams, of three, of which one is more urgent: arrival, decision, end.
void stream_request(benchmark::State& bench) {
  const auto table = front_table();
  const Workload work = workload();
  cleave::scheduler::Streams streams;
  for (const std::uint8_t priority : {1, 1, 2}) {
    cleave::scheduler::StreamOptions options;
    options.table = table;
    options.priority = priority;
    options.deadline = milliseconds(300);
    options.policy_options.learning.enabled = false;
    (void)streams.add(options).value();
  }
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    const Seconds now(static_cast<double>(i));
    auto ticket = streams.arrive(0, now + request.deadline, now);
    const auto decision = ticket.start(request, work.state(*table, i), now);
    ticket.leave_edge(now);
    ticket.finish(
        {.row = decision.row, .link = table->reference, .measured = decision.prediction.latency},
        decision.edge_energy, now);
    return decision;
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
}
BENCHMARK(stream_request)->Iterations(100'000);

// The link has moved and nobody called refresh(): every row is composed while deciding.
void decide_on_another_link(benchmark::State& bench) {
  const auto table = front_table();
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  auto times = timed(bench, work, [&](const Request& request, std::size_t i) {
    LiveState state = work.state(*table, i);
    state.link.up = state.link.up * 0.5;
    return policy->decide(request, state);
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
}
BENCHMARK(decide_on_another_link)->Iterations(5'000);

void refresh_1000_rows(benchmark::State& bench) {
  const auto table = front_table();
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  bool near = false;
  auto times = timed(bench, work, [&](const Request&, std::size_t) {
    auto link = table->reference;
    link.up = link.up * (near ? 1 : 0.3);
    near = !near;
    policy->refresh(link);
    return near;
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
}
BENCHMARK(refresh_1000_rows)->Iterations(5'000);

void observe_1000_rows(benchmark::State& bench) {
  const auto table = front_table();
  const auto policy = cleave::scheduler::make_policy("cleave", table).value();
  const Workload work = workload();
  cleave::test::Dice dice(5);
  auto times = timed(bench, work, [&](const Request&, std::size_t i) {
    const auto row = static_cast<std::uint32_t>(i * 37 % row_count);
    auto took = cleave::table::compose(table->rows[row].ingredients, table->reference, {}).latency;
    took.edge_compute = took.edge_compute * 1.1;
    policy->observe({.row = row, .link = table->reference, .measured = took});
    return row;
  });
  bench.counters["median_ns"] = quantile(times, 0.5);
  bench.counters["p99_ns"] = quantile(times, 0.99);
}
BENCHMARK(observe_1000_rows)->Iterations(5'000);

}  // namespace

BENCHMARK_MAIN();
