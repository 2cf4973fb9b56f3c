// Tells AFL++ which code ran, for what GCC compiles with -fsanitize-coverage=trace-pc: AFL++'s own
// plugin for GCC works with the very build of GCC that it was made with, and no other.
#include <cstdint>

// AFL++'s runtime (afl-compiler-rt.o): counters, 65,536 of them.
extern "C" std::uint8_t* __afl_area_ptr;
// The linker's: where the program was loaded, which is not the same in every process.
extern "C" const char __executable_start;

extern "C" __attribute__((no_sanitize_coverage)) void __sanitizer_cov_trace_pc() {
  // An edge is a pair of places, as in AFL's technical details ("Coverage measurements"): the place
  // before, halved, tells A to B from B to A.
  static thread_local std::uint32_t before = 0;
  const auto place = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0)) -
                     reinterpret_cast<std::uintptr_t>(&__executable_start);
  // Fibonacci hashing: neighbouring places get distant numbers of 16 bits.
  const std::uint32_t here = (static_cast<std::uint32_t>(place) * 2654435769U) >> 16;
  ++__afl_area_ptr[here ^ before];
  before = here >> 1;
}
