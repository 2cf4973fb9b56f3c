// From which to which deadline a workload's requests go.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/core/units.hpp>
#include <cleave/table/pareto_table.hpp>

#include <string>

namespace cleave::cli {

struct Range {
  core::Seconds shortest, longest;
};

/// "20ms:400ms", or one duration; if nothing was said, the range of the profile's configurations,
/// or (no profile) of the table's rows. Errors: invalid_argument; those of table::load_profile().
core::Result<Range> deadline_range(const std::string& text, const std::string& profile_path,
                                   const table::ParetoTable& table);

}  // namespace cleave::cli
