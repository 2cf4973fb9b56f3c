// ONNX files: from bytes to the same kind of graph that a TorchScript file is lowered to.
#pragma once

#include "lib/model/torch_pch.hpp"

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/model/model.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::model {

struct OnnxOptions {
  /// One per input of the network, in place of what the file says; names are not looked at. Needed
  /// where the file leaves a size open.
  std::vector<InputSpec> inputs;
  /// Where tensors that the file keeps outside itself may lie: directly in this folder. Empty: such
  /// files are refused.
  std::filesystem::path folder;
};

/// What an ONNX file says, for one set of input sizes.
struct OnnxImport {
  /// ATen operators whose inputs are the values a caller gives. Weights are constants; a node's
  /// scope is the layer it belongs to. No operator works in place.
  std::shared_ptr<torch::jit::Graph> graph;
  std::vector<InputSpec> inputs;   ///< by graph input, named as in the file
  std::uint64_t weights_hash = 0;  ///< of all tensors in the file, by name
  std::int64_t parameters = 0;     ///< elements of its floating-point tensors
  /// What the operators' sizes must be when the graph runs; -1 for a size that depends on data.
  std::unordered_map<const torch::jit::Value*, std::vector<std::int64_t>> sizes;
};

/// Reads a ModelProto. The bytes may be hostile: sizes are checked before anything is allocated,
/// what constants fold to, and the values and the arithmetic of the network, are bounded (see
/// docs/onnx.md), and nothing but constants is computed.
/// Errc::corrupt: not an ONNX model, or one that contradicts itself; invalid_argument: the inputs'
/// sizes are missing or do not fit; unsupported: an operator, an attribute or an element type
/// outside the table in docs/onnx.md, named with its node and opset; exhausted: larger than the
/// bounds.
CLEAVE_EXPORT core::Result<OnnxImport> import_onnx(std::span<const std::byte> bytes,
                                                   const OnnxOptions& options = {});

/// One line of the table of operators.
struct OnnxOperator {
  std::string name;
  int since = 1;       ///< the first opset that has it
  std::string limits;  ///< what of it is refused; "" for nothing
};

/// All that import_onnx() knows, by name.
CLEAVE_EXPORT std::vector<OnnxOperator> onnx_operators();

/// The opsets of ONNX's own domain that are read.
inline constexpr int onnx_first_opset = 9, onnx_last_opset = 20;

}  // namespace cleave::inline v0::model
