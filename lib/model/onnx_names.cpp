#include "lib/model/onnx_names.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace cleave::inline v0::model::onnx_in {
namespace {

constexpr std::size_t longest = 200;

// A scope's name must be one that libtorch can print and cleave's files can hold.
std::string tidy(const std::string& name) {
  std::string result;
  for (const char c : name.substr(0, longest)) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    result += plain ? c : '_';
  }
  return result;
}

// "/layer1/layer1.0/conv1/Conv" -> "layer1.0.conv1": the last part is the operator, and a part that
// repeats the one before it continues it.
std::string from_path(const std::string& name) {
  std::string path, last, part;
  std::vector<std::string> parts;
  for (const char c : name + "/") {
    if (c != '/') {
      part += c;
      continue;
    }
    if (!part.empty())
      parts.push_back(part);
    part.clear();
  }
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    if (parts[i] == "StatefulPartitionedCall")
      continue;
    if (!last.empty() && parts[i].starts_with(last + "."))
      path.resize(path.size() - last.size());
    else if (!path.empty())
      path += ".";
    last = parts[i];
    path += last;
  }
  return path;
}

// "features.0.weight" -> "features.0"; "" for a name that an exporter made up.
std::string owner(const std::string& name) {
  const auto dot = name.rfind('.');
  if (dot == std::string::npos || name.find('/') != std::string::npos ||
      name.find(':') != std::string::npos || name.starts_with("p2o."))
    return "";
  return name.substr(0, dot);
}

}  // namespace

void LayerNames::note(const onnx::GraphProto& graph) {
  for (const auto& initialiser : graph.initializer()) weights_.insert(initialiser.name());
  for (const auto& node : graph.node()) {
    if (node.op_type() == "Constant" && node.output_size() == 1)
      weights_.insert(node.output(0));
  }
}

std::string LayerNames::enter(const onnx::NodeProto& node) {
  std::string layer;
  if (node.name().find('/') != std::string::npos)
    layer = from_path(node.name());
  std::string fed_by;
  for (const std::string& input : node.input()) {
    if (weights_.count(input)) {
      if (layer.empty())
        layer = owner(input);
    } else if (const auto found = layer_of_.find(input);
               found != layer_of_.end() && fed_by.empty()) {
      fed_by = found->second;
    }
  }
  if (layer.empty())
    layer = fed_by;
  layer = tidy(layer);
  for (const std::string& output : node.output()) {
    if (!weights_.count(output))
      layer_of_[output] = layer;
  }
  return layer;
}

}  // namespace cleave::inline v0::model::onnx_in
