// Throughput of each codec, in bytes of tensor a second, and its ratio to memcpy of the same bytes.
#include <cleave/transport/codec.hpp>

#include <benchmark/benchmark.h>

#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace cleave;

core::Values tensor_of(std::int64_t bytes) {
  core::Tensor tensor = core::empty_tensor(core::DType::float32, {bytes / 4});
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (std::size_t i = 0; i < tensor.numel(); ++i) tensor.data_as<float>()[i] = normal(random);
  return {tensor};
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Runs f in turn with a copy of the same bytes, so that both see the same machine.
template <class F>
void against_memcpy(benchmark::State& state, const core::Values& values, F&& f) {
  const core::Tensor& tensor = *values[0].tensor();
  std::vector<std::byte> copy(tensor.nbytes());
  double own = 0, copying = 0;
  for (auto _ : state) {
    const double start = seconds();
    f();
    const double middle = seconds();
    std::memcpy(copy.data(), tensor.data(), copy.size());
    benchmark::DoNotOptimize(copy.data());
    benchmark::ClobberMemory();
    copying += seconds() - middle;
    own += middle - start;
    state.SetIterationTime(middle - start);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(copy.size()));
  state.counters["time/memcpy"] = own / copying;
}

void encode(benchmark::State& state, const std::string& name) {
  const auto values = tensor_of(state.range(0));
  const auto& codec = **transport::find_codec(name);
  std::vector<std::byte> out;
  against_memcpy(state, values, [&] {
    out.clear();
    if (!transport::encode_values(values, codec, out))
      state.SkipWithError("encode");
  });
  state.counters["bytes/raw"] =
      static_cast<double>(out.size()) / static_cast<double>(state.range(0));
}

void decode(benchmark::State& state, const std::string& name) {
  const auto values = tensor_of(state.range(0));
  std::vector<std::byte> out;
  if (!transport::encode_values(values, **transport::find_codec(name), out))
    state.SkipWithError("encode");
  against_memcpy(state, values, [&] {
    auto back = transport::decode_values(out);
    benchmark::DoNotOptimize(back);
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> names(transport::codec_names().begin(), transport::codec_names().end());
  names.insert(names.end(), {"raw+zstd", "fp16+zstd", "int8+zstd", "int8+zstd:-7", "q4+zstd"});
  for (const std::string& text : names) {
    for (const auto& [what, f] : {std::pair{"encode/", &encode}, std::pair{"decode/", &decode}})
      benchmark::RegisterBenchmark((what + text).c_str(),
                                   [f = f, text](benchmark::State& state) { f(state, text); })
          ->Arg(64 << 10)
          ->Arg(1 << 20)
          ->Arg(16 << 20)
          ->UseManualTime();
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
