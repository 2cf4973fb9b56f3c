// Puts together what exporters take apart: activations, layer normalisation and linear layers that
// an ONNX file spells out become the one operator they are.
#pragma once

#include "lib/model/onnx_builder.hpp"

namespace cleave::inline v0::model::onnx_in {

/// Leaves nodes behind that nothing reads any more.
void fuse(Builder& builder);

}  // namespace cleave::inline v0::model::onnx_in
