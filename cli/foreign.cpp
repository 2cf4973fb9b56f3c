#include "cli/foreign.hpp"

#include <iostream>

namespace cleave::cli {

CLI::Option* add_accept_foreign(CLI::App& app, bool& accept) {
  return app.add_flag(
      "--accept-foreign", accept,
      "Use figures of another machine, or of other versions of the libraries, too (a "
      "warning instead of an error)");
}

core::Result<void> require_made_here(const core::Provenance& made, const core::Provenance& here,
                                     const std::string& what, const std::string& where,
                                     bool accept) {
  if (!made.known()) {
    std::cerr << "cleave: warning: " << where << ": " << what
              << " does not tell where it was made\n";
    return {};
  }
  std::string text;
  for (const std::string& difference : core::differences(made, here))
    text += (text.empty() ? "" : "; ") + difference;
  if (text.empty())
    return {};
  core::Provenance nameless = here;
  nameless.machine.clear();
  if (accept || core::differences(made, nameless).empty()) {
    std::cerr << "cleave: warning: " << where << ": " << what << " was made elsewhere: " << text
              << '\n';
    return {};
  }
  return core::fail(core::Errc::mismatch, what + " was made elsewhere: " + text, where,
                    "profile here, or give --accept-foreign");
}

}  // namespace cleave::cli
