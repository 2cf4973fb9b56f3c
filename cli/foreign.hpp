// Profiles and tables that were made elsewhere.
#pragma once

#include <cleave/core/provenance.hpp>
#include <cleave/core/result.hpp>

#include <CLI/CLI.hpp>

#include <string>

namespace cleave::cli {

/// --accept-foreign.
CLI::Option* add_accept_foreign(CLI::App& app, bool& accept);

/// Errc::mismatch, which names what differs, if `made` is another machine than `here` or has other
/// libraries. A warning on standard error with `accept`; where nothing but the machines' names
/// differs, as between equal boards or restarted containers; and for figures that do not tell where
/// they were made. `what` is "the edge's half of this profile".
core::Result<void> require_made_here(const core::Provenance& made, const core::Provenance& here,
                                     const std::string& what, const std::string& where,
                                     bool accept);

}  // namespace cleave::cli
