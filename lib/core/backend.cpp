#include <cleave/core/backend.hpp>

namespace cleave::inline v0::core {

Executable::~Executable() = default;

}  // namespace cleave::inline v0::core
