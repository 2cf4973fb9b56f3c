// The library's version.
#pragma once

#include <cleave/core/export.hpp>

#include <string_view>

namespace cleave::inline v0::core {

inline constexpr int version_major = 0;
inline constexpr int version_minor = 1;
inline constexpr int version_patch = 0;

/// "0.1.0", of the library that is linked.
CLEAVE_EXPORT std::string_view version();

}  // namespace cleave::inline v0::core
