#include "lib/model/onnx_import.hpp"

#include "lib/model/convert.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/onnx_fuse.hpp"
#include "lib/model/onnx_names.hpp"
#include "lib/model/onnx_node.hpp"
#include "lib/model/onnx_tensor.hpp"

#include <torch/csrc/jit/passes/dead_code_elimination.h>

#include <algorithm>
#include <limits>
#include <list>
#include <map>
#include <set>
#include <unordered_set>

namespace cleave::inline v0::model {
namespace onnx_in {
namespace {

using core::Errc;
using onnx::GraphProto;
using onnx::NodeProto;

constexpr int deepest_graph = 16;
constexpr std::size_t most_copied = std::size_t{256} << 20;  // bytes of functions, call by call

bool own_domain(const std::string& domain) {
  return domain.empty() || domain == "ai.onnx";
}

// What a name stands for: in the graph at hand, or in one around it.
struct Scope {
  const Scope* outer = nullptr;
  std::unordered_map<std::string, Val> values;
  [[nodiscard]] const Val* find(const std::string& name) const {
    for (const Scope* scope = this; scope; scope = scope->outer) {
      const auto found = scope->values.find(name);
      if (found != scope->values.end())
        return &found->second;
    }
    return nullptr;
  }
  void define(const std::string& name, Val value) {
    if (!values.emplace(name, std::move(value)).second)
      corrupt("the value '" + name + "' is made twice");
  }
};

// A message of one line, whatever the names in a file hold.
std::string one_line_of(const std::string& text) {
  constexpr std::size_t longest = 500;
  std::string line = text.substr(0, longest);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127)
      c = '?';
  }
  return line;
}

class Importer {
 public:
  Importer(onnx::ModelProto& model, const OnnxOptions& options)
      : model_(model), options_(options) {}

  OnnxImport run() {
    find_opsets();
    GraphProto& graph = *model_.mutable_graph();
    note_uses(graph, 0);
    names_.note(graph);
    Scope scope;
    read_initialisers(graph, scope);
    add_inputs(graph, scope);
    run_nodes(graph.node(), opset_, scope, 0);
    if (graph.output_size() == 0)
      corrupt("the model has no outputs");
    for (const auto& output : graph.output()) {
      const Val* value = scope.find(output.name());
      if (!value || !value->present())
        corrupt("the output '" + output.name() + "' is never made");
      builder_.add_output(*value);
    }
    fuse(builder_);
    torch::jit::EliminateDeadCode(builder_.graph());
    OnnxImport result;
    result.graph = builder_.graph();
    result.inputs = std::move(inputs_);
    result.weights_hash = weights_hash();
    result.parameters = parameters_;
    result.sizes = std::move(builder_.sizes());
    return result;
  }

 private:
  void find_opsets() {
    opset_ = 0;
    for (const auto& set : model_.opset_import()) {
      if (own_domain(set.domain()))
        opset_ = static_cast<int>(std::clamp<std::int64_t>(set.version(), 0, 1'000'000));
    }
    if (opset_ == 0)
      corrupt("the model does not say its opset");
    check_opset(opset_);
    for (const auto& function : model_.functions())
      functions_.emplace(function.domain() + "::" + function.name(), &function);
  }

  static void check_opset(int opset) {
    if (opset < onnx_first_opset || opset > onnx_last_opset)
      refuse("opset " + std::to_string(opset) + "; opsets " + std::to_string(onnx_first_opset) +
                 " to " + std::to_string(onnx_last_opset) + " are read",
             "export the model again with one of these");
  }

  // How often each name is read, in all graphs together.
  void note_uses(const GraphProto& graph, int depth) {
    if (depth > deepest_graph)
      corrupt("graphs within graphs, too deep");
    nodes_ += static_cast<std::size_t>(graph.node_size());
    if (nodes_ > most_nodes)
      too_large("the model has more than " + std::to_string(most_nodes) + " nodes");
    for (const NodeProto& node : graph.node()) {
      for (const std::string& name : node.input()) ++uses_[name];
      if (own_domain(node.domain()) && node.op_type() == "BatchNormalization") {
        for (int i = 3; i < std::min(5, node.input_size()); ++i) statistics_.insert(node.input(i));
      }
      for (const auto& attribute : node.attribute()) {
        if (attribute.has_g())
          note_uses(attribute.g(), depth + 1);
      }
    }
    for (const auto& output : graph.output()) ++uses_[output.name()];
  }

  // A tensor of the file is one of the model's weights.
  void count_weight(const std::string& name, const at::Tensor& tensor) {
    hashes_[name] = hash_tensor(name, tensor, hashes_[name]);
    if (c10::isFloatingType(tensor.scalar_type()) && !statistics_.count(name))
      parameters_ += tensor.numel();
  }

  void read_initialisers(GraphProto& graph, Scope& scope) {
    if (graph.sparse_initializer_size() > 0)
      refuse("sparse weights");
    for (auto& initialiser : *graph.mutable_initializer()) {
      const std::string name = initialiser.name();
      const at::Tensor tensor = read_cached(initialiser);
      if (counted_.insert(&initialiser).second)
        count_weight(name, tensor);
      scope.define(name, Val(tensor));
    }
  }

  // A body that runs many times reads its tensors once.
  at::Tensor read_cached(const onnx::TensorProto& tensor) {
    at::Tensor& read = tensors_[&tensor];
    if (!read.defined()) {
      // The model is this importer's own, to be emptied as its tensors are taken out.
      read = read_tensor(const_cast<onnx::TensorProto&>(tensor), options_.folder);
    }
    return read;
  }

  void add_inputs(const GraphProto& graph, Scope& scope) {
    std::vector<const onnx::ValueInfoProto*> open;
    for (const auto& input : graph.input()) {
      if (!scope.values.count(input.name()))  // else an initialiser's default
        open.push_back(&input);
    }
    const auto& given = options_.inputs;
    if (!given.empty() && given.size() != open.size())
      throw ImportError(Errc::invalid_argument, "the model takes " + std::to_string(open.size()) +
                                                    (open.size() == 1 ? " input" : " inputs") +
                                                    "; the shapes of " +
                                                    std::to_string(given.size()) + " are given");
    std::string unfixed, example;
    for (std::size_t i = 0; i < open.size(); ++i) {
      InputSpec spec = spec_of(*open[i], unfixed, example);
      if (!given.empty()) {
        check_given(*open[i], spec, given[i]);
        spec.sizes = given[i].sizes;
      }
      inputs_.push_back(std::move(spec));
    }
    if (given.empty() && !unfixed.empty())
      throw ImportError(Errc::invalid_argument, "the file leaves sizes open: " + unfixed,
                        "give each input's, as in" + example);
    for (std::size_t i = 0; i < open.size(); ++i)
      scope.define(open[i]->name(),
                   builder_.add_input(open[i]->name(), model::to_scalar_type(inputs_[i].dtype),
                                      inputs_[i].sizes));
  }

  static InputSpec spec_of(const onnx::ValueInfoProto& input, std::string& unfixed,
                           std::string& example) {
    if (!input.has_type() || !input.type().has_tensor_type())
      refuse("input '" + input.name() + "' is no tensor");
    const auto& type = input.type().tensor_type();
    const auto dtype = to_dtype(to_scalar_type(type.elem_type()));
    if (!dtype)
      refuse("input '" + input.name() + "' is of the element type " + type_name(type.elem_type()));
    InputSpec spec;
    spec.name = input.name();
    spec.dtype = *dtype;
    std::string text, sample;
    bool open = !type.has_shape();
    for (const auto& dim : type.shape().dim()) {
      text += text.empty() ? "" : ", ";
      const bool fixed = dim.has_dim_value() && dim.dim_value() > 0;
      open = open || !fixed;
      spec.sizes.push_back(fixed ? dim.dim_value() : 0);
      text += fixed                                             ? std::to_string(dim.dim_value())
              : dim.has_dim_param() && !dim.dim_param().empty() ? dim.dim_param()
                                                                : "?";
      // A guess at something that makes sense: one image, or a picture's side.
      sample += sample.empty() ? "" : "x";
      sample += fixed ? std::to_string(dim.dim_value()) : spec.sizes.size() == 1 ? "1" : "224";
    }
    if (sample.empty())
      sample = type.has_shape() ? "scalar" : "1x3x224x224";
    InputSpec shown;
    shown.dtype = *dtype;
    const std::string suffix =
        core::DType::float32 == *dtype ? "" : to_string(shown).substr(to_string(shown).find(':'));
    example += " --input " + sample + suffix;
    if (open)
      unfixed += (unfixed.empty() ? "" : "; ") + ("'" + input.name() + "' is [" + text + "]");
    return spec;
  }

  static void check_given(const onnx::ValueInfoProto& input, const InputSpec& spec,
                          const InputSpec& given) {
    if (given.dtype != spec.dtype) {
      InputSpec right = given;
      right.dtype = spec.dtype;
      throw ImportError(Errc::invalid_argument,
                        "input '" + input.name() + "' is of another element type in the file",
                        "give it as " + to_string(right));
    }
    if (input.type().tensor_type().has_shape() && given.sizes.size() != spec.sizes.size())
      throw ImportError(Errc::invalid_argument,
                        "input '" + input.name() + "' has " + std::to_string(spec.sizes.size()) +
                            " dimensions in the file, not " + std::to_string(given.sizes.size()));
    for (const std::int64_t size : given.sizes) {
      if (size < 0)
        throw ImportError(Errc::invalid_argument,
                          "input '" + input.name() + "' has a negative size");
    }
  }

  static std::string context(const NodeProto& node, int opset) {
    std::string text = own_domain(node.domain()) ? "" : node.domain() + "::";
    text += node.op_type();
    if (!node.name().empty())
      text += " '" + node.name() + "'";
    else if (node.output_size() > 0)
      text += " that makes '" + node.output(0) + "'";
    return text + " (opset " + std::to_string(opset) + ")";
  }

  void run_nodes(const google::protobuf::RepeatedPtrField<NodeProto>& nodes, int opset,
                 Scope& scope, int depth) {
    for (const NodeProto& node : nodes) {
      try {
        if (++runs_ > most_nodes)
          too_large("the network, its loops unrolled, has more than " + std::to_string(most_nodes) +
                    " nodes");
        run_node(node, opset, scope, depth);
      } catch (ImportError& error) {
        if (!error.placed) {
          error.placed = true;
          error.text = context(node, opset) + ": " + error.text;
        }
        throw;
      } catch (const std::bad_alloc&) {
        throw;
      } catch (const std::exception& error) {  // libtorch's
        ImportError placed(Errc::corrupt, context(node, opset) + ": " + one_line(error));
        placed.placed = true;
        throw placed;
      }
    }
  }

  void run_node(const NodeProto& node, int opset, Scope& scope, int depth) {
    std::vector<Val> inputs;
    for (const std::string& name : node.input()) {
      if (name.empty()) {
        inputs.emplace_back();
        continue;
      }
      const Val* value = scope.find(name);
      if (!value)
        corrupt("it reads '" + name + "' before it is made");
      inputs.push_back(*value);
    }
    builder_.enter_layer(names_.enter(node));
    std::vector<Val> outputs;
    const auto function = functions_.find(node.domain() + "::" + node.op_type());
    if (function != functions_.end()) {
      outputs = run_function(*function->second, node, std::move(inputs), depth);
    } else {
      outputs = translate(node, opset, std::move(inputs), scope, depth);
    }
    for (int i = 0; i < node.output_size(); ++i) {
      const std::string& name = node.output(i);
      if (name.empty())
        continue;
      if (static_cast<std::size_t>(i) >= outputs.size() ||
          !outputs[static_cast<std::size_t>(i)].present()) {
        if (uses_[name] > 0)
          refuse("its output " + std::to_string(i) + " is not made");
        continue;
      }
      scope.define(name, std::move(outputs[static_cast<std::size_t>(i)]));
    }
  }

  std::vector<Val> translate(const NodeProto& node, int opset, std::vector<Val> inputs,
                             const Scope& scope, int depth) {
    const Operator* known = own_domain(node.domain()) ? find_operator(node.op_type()) : nullptr;
    if (!known)
      refuse("the operator is not supported", "docs/onnx.md lists those that are");
    if (opset < known->since)
      corrupt("opset " + std::to_string(opset) + " has no such operator");
    const RunGraph run_graph = [&](const GraphProto& graph, std::vector<Val> values) {
      return run_inner(graph, std::move(values), opset, scope, depth + 1);
    };
    const ReadTensor read = [&](const onnx::TensorProto& tensor) {
      const at::Tensor value = read_cached(tensor);
      if (node.op_type() == "Constant" && node.output_size() > 0 && counted_.insert(&tensor).second)
        count_weight(node.output(0), value);
      return value;
    };
    const bool only_reader = depth == 0 && node.input_size() > 0 && uses_[node.input(0)] == 1;
    Node reading(node, opset, builder_, std::move(inputs), run_graph, read, only_reader);
    return known->translate(reading);
  }

  std::vector<Val> run_inner(const GraphProto& graph, std::vector<Val> inputs, int opset,
                             const Scope& around, int depth) {
    if (depth > deepest_graph)
      corrupt("graphs within graphs, too deep");
    if (static_cast<std::size_t>(graph.input_size()) != inputs.size())
      corrupt("a graph of " + std::to_string(graph.input_size()) + " inputs is given " +
              std::to_string(inputs.size()));
    Scope scope;
    scope.outer = &around;
    for (int i = 0; i < graph.input_size(); ++i)
      scope.define(graph.input(i).name(), std::move(inputs[static_cast<std::size_t>(i)]));
    // The model is this importer's own.
    read_initialisers(const_cast<GraphProto&>(graph), scope);
    run_nodes(graph.node(), opset, scope, depth);
    std::vector<Val> outputs;
    for (const auto& output : graph.output()) {
      const Val* value = scope.find(output.name());
      if (!value || !value->present())
        corrupt("the output '" + output.name() + "' is never made");
      outputs.push_back(*value);
    }
    return outputs;
  }

  // Operators that the file itself defines are read as the nodes they consist of.
  std::vector<Val> run_function(const onnx::FunctionProto& function, const NodeProto& node,
                                std::vector<Val> inputs, int depth) {
    if (depth >= deepest_graph)
      corrupt("functions within functions, too deep");
    int opset = opset_;
    for (const auto& set : function.opset_import()) {
      if (own_domain(set.domain()))
        opset = static_cast<int>(std::clamp<std::int64_t>(set.version(), 0, 1'000'000));
    }
    check_opset(opset);
    // References to the caller's attributes become these; calls of one function differ in them.
    copied_ += function.ByteSizeLong();
    if (copied_ > most_copied)
      too_large("the calls of the file's own functions");
    onnx::FunctionProto& body = bodies_.emplace_back(function);
    for (NodeProto& inner : *body.mutable_node()) {
      if (++nodes_ > most_nodes)
        too_large("the model has more than " + std::to_string(most_nodes) + " nodes");
      put_attributes(inner, node, 0);
      for (const std::string& name : inner.input()) ++uses_[name];
    }
    Scope scope;
    for (int i = 0; i < function.input_size(); ++i)
      scope.define(function.input(i), static_cast<std::size_t>(i) < inputs.size()
                                          ? std::move(inputs[static_cast<std::size_t>(i)])
                                          : Val());
    for (const std::string& name : function.output()) ++uses_[name];
    run_nodes(body.node(), opset, scope, depth + 1);
    std::vector<Val> outputs;
    for (const std::string& name : function.output()) {
      const Val* value = scope.find(name);
      if (!value)
        corrupt("the output '" + name + "' is never made");
      outputs.push_back(*value);
    }
    return outputs;
  }

  static void put_attributes(NodeProto& inner, const NodeProto& caller, int depth) {
    if (depth > deepest_graph)
      corrupt("graphs within graphs, too deep");
    for (int i = 0; i < inner.attribute_size();) {
      onnx::AttributeProto& attribute = *inner.mutable_attribute(i);
      if (attribute.has_g()) {
        for (NodeProto& node : *attribute.mutable_g()->mutable_node())
          put_attributes(node, caller, depth + 1);
      }
      const std::string reference = attribute.ref_attr_name();
      if (reference.empty()) {
        ++i;
        continue;
      }
      const auto found = std::find_if(caller.attribute().begin(), caller.attribute().end(),
                                      [&](const auto& given) { return given.name() == reference; });
      if (found == caller.attribute().end()) {
        inner.mutable_attribute()->DeleteSubrange(i, 1);  // its operator's default
        continue;
      }
      const std::string name = attribute.name();
      attribute = *found;
      attribute.set_name(name);
      ++i;
    }
  }

  [[nodiscard]] std::uint64_t weights_hash() const {
    std::uint64_t hash = 0;
    for (const auto& [name, value] : hashes_) hash = hash * 0x9E3779B97F4A7C15ull + value;
    return hash;
  }

  onnx::ModelProto& model_;
  const OnnxOptions& options_;
  Builder builder_;
  LayerNames names_;
  int opset_ = 0;
  std::size_t nodes_ = 0, runs_ = 0, copied_ = 0;
  std::unordered_map<std::string, std::size_t> uses_;
  std::unordered_set<std::string> statistics_;  ///< means and variances
  std::map<std::string, std::uint64_t> hashes_;
  std::unordered_map<const onnx::TensorProto*, at::Tensor> tensors_;
  std::unordered_set<const onnx::TensorProto*> counted_;
  std::unordered_map<std::string, const onnx::FunctionProto*> functions_;
  std::list<onnx::FunctionProto> bodies_;  ///< tensors_ knows them by address
  std::int64_t parameters_ = 0;
  std::vector<InputSpec> inputs_;
};

}  // namespace
}  // namespace onnx_in

using core::Errc;
using core::fail;

core::Result<OnnxImport> import_onnx(std::span<const std::byte> bytes, const OnnxOptions& options) {
  if (bytes.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
    return fail(Errc::exhausted, "an ONNX file of more than 2 GiB", "",
                "keep its weights in a file of their own");
  return guarded(Errc::corrupt, "", [&]() -> core::Result<OnnxImport> {
    onnx::ModelProto model;
    if (!model.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) || !model.has_graph())
      return fail(Errc::corrupt, "not an ONNX model, or a truncated one");
    try {
      return onnx_in::Importer(model, options).run();
    } catch (const onnx_in::ImportError& error) {
      return fail(error.code, onnx_in::one_line_of(error.text), "",
                  onnx_in::one_line_of(error.hint));
    }
  });
}

std::vector<OnnxOperator> onnx_operators() {
  using namespace onnx_in;
  std::vector<OnnxOperator> all;
  for (const auto list : operator_lists()) {
    for (const Operator& known : list) all.push_back({known.name, known.since, known.limits});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

}  // namespace cleave::inline v0::model
