// A made-up experiment of a plausible size, for the report's tests.
#pragma once

#include <cleave/report/report.hpp>

namespace cleave::tests {

/// A profile of 14 cuts, a table of 40 rows and five policies over 300 requests. Chart.js is left
/// out.
report::ReportInput sample_report();

}  // namespace cleave::tests
