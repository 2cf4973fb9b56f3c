// Times whole passes of a network, for a comparison with other runtimes' programs that do the same
// (scripts/peers.sh): cleave_bench_whole MODEL [--input 1x3x224x224] [--threads N] [--passes N]
// [--unfused] [--steps]. Prints one line of JSON.
#include <cleave/model/model.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

namespace model = cleave::model;
namespace core = cleave::core;
using Clock = std::chrono::steady_clock;

namespace {

[[noreturn]] void stop(const std::string& why) {
  std::cerr << "cleave_bench_whole: " << why << '\n';
  std::exit(1);
}

double milliseconds(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2)
    stop("a model file is needed");
  model::LoadOptions options;
  int threads = 1, passes = 20;
  bool steps = false;
  for (int i = 2; i < argc; ++i) {
    const std::string option = argv[i];
    const auto value = [&] {
      return i + 1 < argc ? argv[++i] : (stop(option + " needs a value"), "");
    };
    if (option == "--unfused")
      options.plan = model::PlanKind::unfused;
    else if (option == "--steps")
      steps = true;
    else if (option == "--threads")
      threads = std::atoi(value());
    else if (option == "--passes")
      passes = std::atoi(value());
    else if (option == "--input") {
      auto spec = model::parse_input_spec(value());
      if (!spec)
        stop(spec.error().message());
      options.inputs.push_back(*spec);
    } else
      stop("unknown option " + option);
  }
  if (passes < 1)
    stop("at least one pass");
  options.threads = threads;
  const auto loading = Clock::now();
  const auto loaded = model::load(argv[1], options);
  if (!loaded)
    stop(loaded.error().message());
  const double load_ms = milliseconds(loading);
  const model::Model& network = **loaded;
  if (const auto set = network.set_threads(threads); !set)
    stop(set.error().message());
  const core::Values inputs = network.example_inputs(1);
  const core::CutId first = network.cuts().front().id, last = network.cuts().back().id;
  constexpr int warm_up = 3;
  std::vector<double> times;
  for (int i = 0; i < warm_up + passes; ++i) {
    const auto start = Clock::now();
    const auto outputs = network.run(first, last, inputs);
    if (!outputs)
      stop(outputs.error().message());
    if (i >= warm_up)
      times.push_back(milliseconds(start));
  }
  if (steps) {
    std::vector<std::vector<double>> by_step(network.steps().size());
    for (int i = 0; i < passes; ++i) {
      std::vector<core::StepTime> taken;
      (void)network.run_timed(first, last, inputs, taken);
      for (const auto& t : taken) by_step[t.step].push_back(t.time.count() * 1e3);
    }
    for (std::size_t i = 0; i < by_step.size(); ++i) {
      std::sort(by_step[i].begin(), by_step[i].end());
      const auto& info = network.steps()[i];
      std::fprintf(stderr, "%8.3f ms  %-40s %-24s %s\n", by_step[i][by_step[i].size() / 2],
                   info.op.c_str(), info.kernel.c_str(), info.layer.c_str());
    }
  }
  std::sort(times.begin(), times.end());
  std::printf(
      "{\"runtime\": \"cleave\", \"threads\": %d, \"passes\": %d, \"median_ms\": %.4f, "
      "\"p95_ms\": %.4f, \"least_ms\": %.4f, \"load_ms\": %.0f}\n",
      threads, passes, times[times.size() / 2], times[times.size() * 95 / 100], times.front(),
      load_ms);
}
