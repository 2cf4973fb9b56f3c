// Counts what a thread allocates, for the whole test program.
#pragma once

#include <cstddef>

namespace cleave::test {

/// How often the calling thread has called operator new.
std::size_t allocations();

}  // namespace cleave::test
