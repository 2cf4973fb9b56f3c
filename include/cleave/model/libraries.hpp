// What a network runs on in this program.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/provenance.hpp>

#include <vector>

namespace cleave::inline v0::model {

/// libtorch and onednn with their versions; oneDNN's with the instruction set that it uses here.
CLEAVE_EXPORT std::vector<core::Library> libraries();

}  // namespace cleave::inline v0::model
