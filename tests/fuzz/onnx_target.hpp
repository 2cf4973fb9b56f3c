// The target that needs libtorch, in a file of its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cleave::fuzz {

/// Bytes as an ONNX file without a folder: an error of one line, or a graph.
void onnx(const std::uint8_t* data, std::size_t size);

}  // namespace cleave::fuzz
