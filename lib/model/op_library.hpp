// Operators beside libtorch's own that a TorchScript file may use.
#pragma once

#include <cleave/core/result.hpp>

#include <filesystem>
#include <string_view>

namespace cleave::inline v0::model {

/// Opens a shared library, whose initialisers register its operators with libtorch. It stays open
/// as long as the program. Errc::not_found, unsupported (not such a library, with the loader's
/// words).
core::Result<void> open_op_library(const std::filesystem::path& path);

/// Whether libtorch's complaint is about an operator of torchvision.
bool names_torchvision(std::string_view complaint);

/// Registers cleave's own torchvision::nms and torchvision::roi_align, unless the program has
/// torchvision's. False if there is nothing more to register. Thread-safe.
bool register_torchvision_ops();

}  // namespace cleave::inline v0::model
