// What `cleave profile --validate` tells.
#pragma once

#include <cleave/profiler/validation.hpp>
#include <cleave/table/profile.hpp>

namespace cleave::cli {

/// By part, by configuration, and a line each for measured and predicted settings; or JSON.
void print_validation(const table::Profile& profile, const profiler::ValidationReport& report,
                      bool json);

}  // namespace cleave::cli
