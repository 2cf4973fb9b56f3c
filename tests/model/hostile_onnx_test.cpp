// Flipped bits and truncation in ONNX files, which carry no checksum: each is refused with an error
// or is a network that runs; none crashes, hangs or takes memory without bound.
#if __has_include("lib/model/onnx_import.hpp")
#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <random>

namespace cleave::test {
namespace {

namespace fs = std::filesystem;

long peak_kilobytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(HostileOnnx, EveryFlipAndTruncationIsAnErrorOrANetworkThatRuns) {
  const fs::path seed = fs::path(CLEAVE_SOURCE_DIR) / "tests/fuzz/seeds/onnx/conv.onnx";
  const auto content = *core::read_file(seed, std::size_t{1} << 20);
  const auto intact = model::load(seed);
  ASSERT_TRUE(intact) << intact.error().message();
  const core::Values inputs = (*intact)->example_inputs();
  const fs::path shm = fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
  const fs::path path = shm / ("cleave-hostile-" + std::to_string(::getpid()) + ".onnx");
  std::size_t refused = 0, ran = 0;
  const long before = peak_kilobytes();
  const auto try_one = [&](std::span<const std::byte> changed) {
    ASSERT_TRUE(core::write_file(path, changed));
    const auto model = model::load(path);
    if (!model) {
      ++refused;
      EXPECT_NE(model.error().code, core::Errc::internal) << model.error().message();
      EXPECT_EQ(model.error().message().find('\n'), std::string::npos);
      return;
    }
    ++ran;
    const auto cuts = (*model)->cuts();
    EXPECT_TRUE((*model)->run(cuts.front().id, cuts.back().id, (*model)->example_inputs()));
  };
  std::mt19937_64 random(29);
  for (int copy = 0; copy < 1500; ++copy) {
    auto changed = content;
    for (std::uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      changed[random() % changed.size()] ^= std::byte{1} << (random() % 8);
    try_one(changed);
  }
  for (std::size_t size = 0; size < content.size(); size += 1 + random() % 7)
    try_one(std::span(content).first(size));
  fs::remove(path);
  EXPECT_GT(refused, 100u);
  EXPECT_GT(ran, 100u) << "weights are most of the file, and any weight makes a network";
  EXPECT_LT(peak_kilobytes() - before, 512 * 1024);
}

}  // namespace
}  // namespace cleave::test
#endif
