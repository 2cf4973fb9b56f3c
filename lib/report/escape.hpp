// Text that came from files and models, made harmless for a page.
#pragma once

#include <string>
#include <string_view>

namespace cleave::inline v0::report {

/// For HTML text and quoted attribute values; what is not UTF-8 and control characters become
/// U+FFFD.
std::string escape_html(std::string_view text);

/// JSON for a <script> element: nothing in it can end the element or open a comment.
std::string escape_json_for_script(std::string json);

/// JavaScript source for a <script> element: "</script" and "<!--" inside its strings, regular
/// expressions and comments are written so that they mean the same but are not seen by the HTML
/// parser.
std::string escape_source_for_script(std::string_view source);

}  // namespace cleave::inline v0::report
