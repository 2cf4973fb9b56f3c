// What reads hostile bytes, one function a reader, for a fuzzer and for replay_test.cpp. Each
// aborts if a promise does not hold; reading past the end is what the sanitizers are for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace cleave::fuzz {

struct Target {
  std::string_view name;  ///< and the folder of its seeds
  void (*run)(const std::uint8_t* data, std::size_t size);
};

std::span<const Target> targets();

}  // namespace cleave::fuzz
