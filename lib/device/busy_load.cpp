#include <cleave/device/busy_load.hpp>

#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <stop_token>
#include <thread>
#include <vector>

namespace cleave::inline v0::device {
namespace {

using std::chrono::steady_clock;

constexpr auto slice = std::chrono::milliseconds(10);

double cpu_time_of_this_thread() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

// A few microseconds of products and sums, as a layer of a network has them.
float work(std::array<float, 1024>& values) {
  float sum = 0;
  for (float& value : values) {
    value = value * 0.999F + 0.001F;
    sum += value;
  }
  return sum;
}

double keep_busy(double share, const std::stop_token& stop) {
  std::array<float, 1024> values{};
  std::atomic<float> seen{0};  // or the compiler would leave the work out
  const double begin = cpu_time_of_this_thread();
  for (auto from = steady_clock::now(); !stop.stop_requested(); from = steady_clock::now()) {
    const auto pause = from + std::chrono::duration_cast<steady_clock::duration>(slice * share);
    while (steady_clock::now() < pause) seen.store(work(values), std::memory_order_relaxed);
    if (share < 1)
      std::this_thread::sleep_until(from + slice);
  }
  return cpu_time_of_this_thread() - begin;
}

}  // namespace

Load busy_load() {
  return [](int cores, double share,
            const std::function<core::Result<void>()>& meanwhile) -> core::Result<double> {
    const auto begin = steady_clock::now();
    std::vector<double> used(static_cast<std::size_t>(std::max(cores, 0)));
    core::Result<void> done;
    {
      std::vector<std::jthread> threads;
      for (double& mine : used)
        threads.emplace_back(
            [&mine, share](const std::stop_token& stop) { mine = keep_busy(share, stop); });
      done = meanwhile();
    }
    if (!done)
      return core::fail(done);
    const double took = std::chrono::duration<double>(steady_clock::now() - begin).count();
    double sum = 0;
    for (const double mine : used) sum += mine;
    return cores == 0 || !(took > 0) ? 0.0 : sum / (took * double(cores));
  };
}

}  // namespace cleave::inline v0::device
