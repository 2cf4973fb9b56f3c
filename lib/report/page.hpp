// The parts of a page that do not depend on what it shows.
#pragma once

#include <string_view>

namespace cleave::inline v0::report {

/// The style sheet: light and dark by the reader's preference, one column on a phone.
std::string_view page_style();
/// The script that draws the charts, from the JSON in the element "data", with Chart.js 3 or 4.
std::string_view page_script();

}  // namespace cleave::inline v0::report
