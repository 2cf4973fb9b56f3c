// Random numbers that are the same on every machine, unlike those of the standard's distributions.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace cleave::inline v0::transport {

// 53 random bits in [0, 1).
inline double uniform(std::mt19937_64& source) {
  return static_cast<double>(source() >> 11) * 0x1p-53;
}

// Exponentially distributed with this mean, by inversion.
inline double exponential(std::mt19937_64& source, double mean) {
  return -mean * std::log1p(-uniform(source));
}

// A seed for the `stream`-th of several independent sources: SplitMix64's finaliser (Steele, Lea
// and Flood, "Fast splittable pseudorandom number generators", 2014).
inline std::uint64_t seed_of(std::uint64_t seed, std::uint64_t stream) {
  std::uint64_t z = seed + (stream + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

}  // namespace cleave::inline v0::transport
