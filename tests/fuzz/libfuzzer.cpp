// The entry point that libFuzzer calls (CLEAVE_FUZZ); CLEAVE_FUZZ_TARGET names one of targets().
#include "tests/fuzz/targets.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const cleave::fuzz::Target* const chosen = [] {
    for (const auto& target : cleave::fuzz::targets())
      if (target.name == CLEAVE_FUZZ_TARGET)
        return &target;
    std::abort();
  }();
  chosen->run(data, size);
  return 0;
}
