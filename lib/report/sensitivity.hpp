// The part of a page that tells what wrong watts would cost.
#pragma once

#include <cleave/table/pareto_table.hpp>

#include <string>

namespace cleave::inline v0::report {

/// A section of HTML; empty where nothing is modelled. See table::power_sensitivity().
std::string sensitivity_section(const table::ParetoTable& table);

}  // namespace cleave::inline v0::report
