// Flipped bits and truncation in ONNX files, which carry no checksum: each is refused with an error
// or is a network that runs; none crashes, hangs or takes memory without bound.
#if __has_include("lib/model/onnx_import.hpp")
#include "lib/model/onnx_import.hpp"
#include "tests/model/split_support.hpp"

#include <cleave/core/file.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
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

// Address space beyond what the process has now, while it lives.
class WithLittleMemory {
 public:
  explicit WithLittleMemory(rlim_t more) {
    ::getrlimit(RLIMIT_AS, &before_);
    std::ifstream statm("/proc/self/statm");
    rlim_t pages = 0;
    statm >> pages;
    rlimit less = before_;
    less.rlim_cur = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + more;
    ::setrlimit(RLIMIT_AS, &less);
  }
  ~WithLittleMemory() { ::setrlimit(RLIMIT_AS, &before_); }
  WithLittleMemory(const WithLittleMemory&) = delete;
  WithLittleMemory& operator=(const WithLittleMemory&) = delete;

 private:
  rlimit before_{};
};

// 183 bytes that asked for 420 MB before they were refused.
TEST(HostileOnnx, AValueThatIsTooLargeIsRefusedBeforeAnythingOfItsLengthIsMade) {
  for (const char* name : {"pad_too_far.onnx", "resize_too_far.onnx"}) {
    SCOPED_TRACE(name);
    const auto bytes = *core::read_file(
        fs::path(CLEAVE_SOURCE_DIR) / "tests/fuzz/seeds/onnx" / name, std::size_t{1} << 20);
    const WithLittleMemory little(rlim_t{40} << 20);
    const auto imported = model::import_onnx(bytes, {});
    ASSERT_FALSE(imported);
    EXPECT_EQ(imported.error().code, core::Errc::exhausted);
    EXPECT_NE(imported.error().what.find("too large"), std::string::npos) << imported.error().what;
  }
}

}  // namespace
}  // namespace cleave::test
#endif
