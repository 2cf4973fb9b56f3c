// Layer names for people: ONNX files have them in the names of nodes or of weights.
#pragma once

#include "lib/model/onnx_proto.hpp"

#include <string>
#include <unordered_map>
#include <unordered_set>

namespace cleave::inline v0::model::onnx_in {

class LayerNames {
 public:
  /// Learns which names are weights.
  void note(const onnx::GraphProto& graph);
  /// The layer a node belongs to: its own path ("/layer1/layer1.0/conv1/Conv" is in
  /// "layer1.0.conv1"), else its weights' owner, else the layer that made what it reads. To be
  /// called in the order of the nodes.
  std::string enter(const onnx::NodeProto& node);

 private:
  std::unordered_set<std::string> weights_;
  std::unordered_map<std::string, std::string> layer_of_;  ///< by value
};

}  // namespace cleave::inline v0::model::onnx_in
