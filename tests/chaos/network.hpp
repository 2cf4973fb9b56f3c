// The network that both processes of the chaos test know.
#pragma once

#include "tests/support/fake_executable.hpp"

#include <memory>
#include <vector>

namespace cleave::tests {

inline std::shared_ptr<FakeExecutable> chaos_network() {
  return std::make_shared<FakeExecutable>(std::vector<core::Seconds>(6), std::int64_t{300});
}

}  // namespace cleave::tests
