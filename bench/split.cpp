// What cutting costs: head then tail over the whole, in one process, one thread, at ten cuts a
// network. The counter "over_whole" is the median over the iterations of a pair measured one after
// the other, in alternating order, so that a slow moment hits both.
#include <cleave/model/model.hpp>
#include <cleave/model/zoo.hpp>

#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
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
  if (!ratios.empty())
    state.counters["over_whole"] = median(std::move(ratios));
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
  benchmark::Shutdown();
  return status;
}
