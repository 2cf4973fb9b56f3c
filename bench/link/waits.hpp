// Small calls while large ones keep the same connection busy.
#pragma once

#include "bench/link/tensors.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <random>
#include <thread>
#include <vector>

namespace bench_link {

/// Seconds of each of `count` calls of small(), while another thread calls large() again and again.
/// The calls come at random times, so that they meet a large one at any point of its way.
template <class Large, class Small>
std::vector<double> waits_behind(Large large, Small small, std::size_t count) {
  std::atomic<bool> stop = false;
  auto busy = std::async(std::launch::async, [&] {
    while (!stop) large();
  });
  std::vector<double> times;
  std::mt19937_64 random(1);
  std::uniform_int_distribution<int> pause(20, 60);  // ms
  try {
    while (times.size() < count) {
      std::this_thread::sleep_for(std::chrono::milliseconds(pause(random)));
      const double start = seconds();
      small();
      times.push_back(seconds() - start);
    }
  } catch (...) {
    stop = true;
    throw;
  }
  stop = true;
  busy.get();
  return times;
}

}  // namespace bench_link
