// Tensors of an ONNX file.
#pragma once

#include "lib/model/onnx_builder.hpp"
#include "lib/model/onnx_proto.hpp"

#include <cstdint>
#include <filesystem>
#include <string>

namespace cleave::inline v0::model::onnx_in {

/// ONNX's number for an element type; throws for one that cleave does not know.
at::ScalarType to_scalar_type(std::int32_t onnx_type);
/// "float16" for 10, and so on; the number for one that ONNX added later.
std::string type_name(std::int32_t onnx_type);

/// The tensor, with what `proto` held released. Sizes and bytes must agree. `folder` as in
/// OnnxOptions.
at::Tensor read_tensor(onnx::TensorProto& proto, const std::filesystem::path& folder);

/// As fingerprint.hpp's hash of a module's tensors.
std::uint64_t hash_tensor(const std::string& name, const at::Tensor& tensor, std::uint64_t seed);

}  // namespace cleave::inline v0::model::onnx_in
