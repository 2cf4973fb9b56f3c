// How many requests the link's estimate needs after a step, and how far it is off before, over many
// seeds of simulated links; beside it the median of the last nine samples, in the same runs.
#include "tests/support/simulated_link.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace cleave;
using test::SimulatedLink;
using transport::LinkEstimator;

constexpr std::size_t most_requests = 30;

double quantile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

// Gives what a link's client sees to an estimator and to the last nine bandwidths.
struct Both {
  LinkEstimator estimator;
  std::vector<double> last;

  double request(SimulatedLink& link, std::size_t bytes) {
    LinkEstimator single;  // holds just this request: the sample as it is
    SimulatedLink copy = link;
    copy.request(bytes, bytes / 4, single);
    last.push_back(single.estimate()->up.count());
    if (last.size() > 9)
      last.erase(last.begin());
    link.request(bytes, bytes / 4, estimator);
    return estimator.estimate()->up.count();
  }
  [[nodiscard]] double median_of_nine() const { return quantile(last, 0.5); }
};

// Arguments: the rate's factor in percent, jitter in ms on a link of 20 Mbit/s and 20 ms, kB a
// request.
void rate_step(benchmark::State& state) {
  const double factor = static_cast<double>(state.range(0)) / 100;
  const SimulatedLink::Shape before{core::megabits_per_second(20), core::megabits_per_second(20),
                                    core::milliseconds(10),
                                    core::milliseconds(static_cast<double>(state.range(1)))};
  SimulatedLink::Shape after = before;
  after.up = after.up * factor;
  after.down = after.down * factor;
  const auto bytes = static_cast<std::size_t>(state.range(2)) * 1000;
  std::vector<double> ours, nine, our_error, nine_error;
  std::uint64_t seed = 0;
  // The first of a row of requests after which all estimates are within a fifth.
  const auto settled = [&](const std::vector<double>& estimates) {
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < estimates.size(); ++i)
      if (std::abs(estimates[i] / after.up.count() - 1) > 0.2)
        wrong = i + 1;
    return static_cast<double>(wrong + 1);
  };
  for (auto _ : state) {
    SimulatedLink link(before, ++seed);
    Both both;
    for (int i = 0; i < 20; ++i) both.request(link, bytes);
    our_error.push_back(std::abs(both.estimator.estimate()->up.count() / before.up.count() - 1));
    nine_error.push_back(std::abs(both.median_of_nine() / before.up.count() - 1));
    link.set(after);
    std::vector<double> a, b;
    for (std::size_t i = 0; i < most_requests; ++i) {
      a.push_back(both.request(link, bytes));
      b.push_back(both.median_of_nine());
    }
    ours.push_back(settled(a));
    nine.push_back(settled(b));
  }
  state.counters["requests_p50"] = quantile(ours, 0.5);
  state.counters["requests_p99"] = quantile(ours, 0.99);
  state.counters["median9_p50"] = quantile(nine, 0.5);
  state.counters["median9_p99"] = quantile(nine, 0.99);
  state.counters["delay/median9"] = quantile(ours, 0.5) / quantile(nine, 0.5);
  state.counters["error_p50"] = quantile(our_error, 0.5);
  state.counters["error/median9"] = quantile(our_error, 0.5) / quantile(nine_error, 0.5);
}
BENCHMARK(rate_step)
    ->Args({50, 0, 100})
    ->Args({50, 2, 100})
    ->Args({200, 2, 100})
    ->Args({10, 2, 100})
    ->Args({1000, 2, 100})
    ->Args({50, 2, 1000})
    ->Args({200, 5, 100})
    ->Iterations(1000);

// What a sample and an estimate cost.
void sample_and_estimate(benchmark::State& state) {
  LinkEstimator estimator;
  std::mt19937_64 random(1);
  double now = 0;
  for (auto _ : state) {
    now += 0.1;
    const double took = 0.05 * (0.9 + 0.2 * transport::uniform(random));
    estimator.add_upload(core::Bytes(1e5), core::Seconds(took), core::Seconds(now));
    estimator.add_round_trip(core::Seconds(took / 2), core::Seconds(now));
    benchmark::DoNotOptimize(estimator.estimate(core::Seconds(now)));
  }
}
BENCHMARK(sample_and_estimate);

}  // namespace

BENCHMARK_MAIN();
