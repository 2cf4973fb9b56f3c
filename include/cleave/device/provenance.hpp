// This machine, as what is measured on it remembers it.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/provenance.hpp>
#include <cleave/device/files.hpp>

namespace cleave::inline v0::device {

/// Name, processor and number of CPUs by procfs, and cleave's own version. What cannot be read
/// stays unknown; device and other libraries are for who runs the network to add.
CLEAVE_EXPORT core::Provenance this_machine(const Machine& machine = {});

}  // namespace cleave::inline v0::device
