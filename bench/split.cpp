// What cutting costs: head then tail over the whole, in one process, one thread, at ten cuts a
// network. The counter "over_whole" is the median over the iterations of a pair measured one after
// the other, in alternating order, so that a slow moment hits both; the last lines give the median
// over a network's cuts. "first_use" is what the first use of a cut costs on top of its run: for
// every head that is all that one step needs, as no prefix of the sequence is, once each; "max_us"
// is the slowest of them. Switching back to a cut is a look-up ("again_us", the median).
#include <cleave/model/model.hpp>
#include <cleave/model/zoo.hpp>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
using namespace cleave;
using Clock = std::chrono::steady_clock;

double seconds_of(const auto& f) {
  const auto start = Clock::now();
  f();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

// The heads that hold just what one step needs, where such a set can be cut.
std::vector<std::vector<core::StepRange>> closures(const model::Model& model) {
  const auto steps = model.steps();
  const core::StepGraph graph = model.step_graph();
  std::vector<std::vector<core::StepRange>> heads;
  for (std::uint32_t last = 0; last < steps.size(); ++last) {
    core::StepSet head(steps.size(), false);
    head[last] = true;
    for (std::uint32_t step = last + 1; step-- > 0;) {
      if (head[step])
        for (const std::uint32_t needed : steps[step].needs) head[needed] = true;
    }
    auto ranges = core::ranges_of(head);
    if (core::is_head(graph, head) && !core::is_prefix(ranges))
      heads.push_back(std::move(ranges));
  }
  return heads;
}

void first_use(benchmark::State& state, const model::Model& model) {
  std::vector<double> first, again;
  bool failed = false;
  for (auto _ : state) {
    double total = 0;
    for (const auto& head : closures(model)) {
      const auto look = [&] { failed = failed || !model.cut_at(head); };
      first.push_back(seconds_of(look));
      again.push_back(seconds_of(look));
      total += first.back();
    }
    state.SetIterationTime(total);
  }
  if (failed) {
    state.SkipWithError("a cut failed");
    return;
  }
  constexpr double micro = 1e6;
  state.counters["heads"] = static_cast<double>(first.size());
  state.counters["max_us"] = *std::max_element(first.begin(), first.end()) * micro;
  state.counters["median_us"] = median(first) * micro;
  state.counters["again_us"] = median(again) * micro;
}

// The last measurement of each cut: the first ones only look how many iterations are enough.
std::map<std::string, std::map<std::uint32_t, double>>& ratios_of_networks() {
  static std::map<std::string, std::map<std::uint32_t, double>> ratios;
  return ratios;
}

void head_and_tail(benchmark::State& state, const model::Model& model, core::Cut cut) {
  if (!model.set_threads(1)) {
    state.SkipWithError("cannot run on one thread");
    return;
  }
  const auto inputs = model.example_inputs(1);
  const auto first = model.cuts().front().id, last = model.cuts().back().id;
  bool failed = false;
  const auto whole = [&] { failed = failed || !model.run(first, last, inputs); };
  const auto split = [&] {
    const auto across = model.run(first, cut.id, inputs);
    failed = failed || !across || !model.run(cut.id, last, *across);
  };
  whole();
  split();
  std::vector<double> ratios;
  bool whole_first = false;
  for (auto _ : state) {
    double whole_seconds = 0, split_seconds = 0;
    if ((whole_first = !whole_first)) {
      whole_seconds = seconds_of(whole);
      split_seconds = seconds_of(split);
    } else {
      split_seconds = seconds_of(split);
      whole_seconds = seconds_of(whole);
    }
    state.SetIterationTime(split_seconds);
    ratios.push_back(split_seconds / whole_seconds);
  }
  if (failed)
    state.SkipWithError("a run failed");
  if (!ratios.empty()) {
    const double ratio = median(std::move(ratios));
    state.counters["over_whole"] = ratio;
    ratios_of_networks()[model.name()][cut.position] = ratio;
  }
  state.counters["cut_bytes"] = cut.bytes.count();
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv))
    return 2;
  const fs::path folder =
      fs::temp_directory_path() / ("cleave-bench-split-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::vector<std::shared_ptr<const model::Model>> models;
  int status = 0;
  for (const model::ZooEntry& entry : model::zoo()) {
    const fs::path file = folder / (entry.name + ".pt");
    const auto built = model::build_zoo_model(entry.name, 1, file);
    auto loaded = built ? model::load(file) : tl::unexpected(built.error());
    fs::remove(file);
    if (!loaded) {
      std::fprintf(stderr, "%s\n", loaded.error().message().c_str());
      status = 1;
      break;
    }
    models.push_back(*loaded);
    if (!closures(*models.back()).empty()) {
      benchmark::RegisterBenchmark(
          (entry.name + "/first_use").c_str(),
          [model = models.back()](auto& state) { first_use(state, *model); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond)
          ->Iterations(1);
    }
    const auto cuts = (*loaded)->cuts();
    constexpr std::size_t wanted = 10;
    const std::size_t inner = cuts.size() - 2;  // the first and the last are no cuts
    const std::size_t count = std::min(wanted, inner);
    for (std::size_t i = 0; i < count; ++i) {
      const core::Cut& cut = cuts[1 + i * inner / count];
      const std::string name =
          entry.name + "/" + std::to_string(cut.position) + ":" + cut.layer + ":" + cut.op;
      benchmark::RegisterBenchmark(
          name.c_str(),
          [model = models.back(), cut](auto& state) { head_and_tail(state, *model, cut); })
          ->UseManualTime()
          ->Unit(benchmark::kMillisecond)
          ->MinTime(2.0);
    }
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  if (status == 0)
    benchmark::RunSpecifiedBenchmarks();
  for (const auto& [network, ratios] : ratios_of_networks()) {
    std::vector<double> values;
    for (const auto& [position, ratio] : ratios) values.push_back(ratio);
    std::printf("%-18s head + tail over the whole, median over %zu cuts: %.3f\n", network.c_str(),
                values.size(), median(values));
  }
  benchmark::Shutdown();
  return status;
}
