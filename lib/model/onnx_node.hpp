// One node of an ONNX graph as a translation sees it, and the table of translations.
#pragma once

#include "lib/model/onnx_builder.hpp"
#include "lib/model/onnx_proto.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::model::onnx_in {

class Node;

/// Gives one value per output of the node; those behind the last that is used may be left out.
using Translate = std::vector<Val> (*)(Node& node);

struct Operator {
  const char* name;
  int since;  ///< the first opset that has it
  Translate translate;
  const char* limits;  ///< what of it is refused, for docs/onnx.md
};

/// Each file of operators has one list.
std::span<const Operator> elementwise_operators();
std::span<const Operator> layer_operators();
std::span<const Operator> normalising_operators();
std::span<const Operator> reducing_operators();
std::span<const Operator> shaping_operators();
std::span<const Operator> indexing_operators();
std::span<const Operator> resizing_operators();
std::span<const Operator> recurrent_operators();
std::span<const Operator> control_operators();

std::vector<std::span<const Operator>> operator_lists();
/// Null if there is none of this name.
const Operator* find_operator(std::string_view name);

/// Runs a graph inside a node: its inputs are given these values, and it may read the values around
/// it. Gives the values of its outputs.
using RunGraph =
    std::function<std::vector<Val>(const onnx::GraphProto& graph, std::vector<Val> inputs)>;

/// Reads a tensor that is an attribute, and counts it among the weights.
using ReadTensor = std::function<at::Tensor(const onnx::TensorProto& tensor)>;

class Node {
 public:
  Node(const onnx::NodeProto& proto, int version, Builder& into, std::vector<Val> inputs,
       const RunGraph& run_graph, const ReadTensor& read_tensor, bool only_reader)
      : opset(version),
        builder(into),
        proto_(proto),
        inputs_(std::move(inputs)),
        run_graph_(run_graph),
        read_tensor_(read_tensor),
        only_reader_(only_reader) {}

  const int opset;
  Builder& builder;

  [[nodiscard]] const onnx::NodeProto& proto() const { return proto_; }
  [[nodiscard]] std::string_view op() const { return proto_.op_type(); }
  /// Whether nothing else reads input 0, ever.
  [[nodiscard]] bool only_reader() const { return only_reader_; }
  [[nodiscard]] std::size_t input_count() const { return inputs_.size(); }
  [[nodiscard]] const std::vector<Val>& inputs() const { return inputs_; }

  /// A tensor that must be there.
  [[nodiscard]] const Val& in(std::size_t index) const;
  /// Absent if it was left out.
  [[nodiscard]] const Val& maybe(std::size_t index) const;
  [[nodiscard]] bool has(std::size_t index) const { return maybe(index).present(); }
  /// A tensor whose numbers must be known before the network runs; refuses otherwise.
  [[nodiscard]] const at::Tensor& constant(std::size_t index) const;
  [[nodiscard]] Sizes ints(std::size_t index) const;
  [[nodiscard]] std::vector<double> floats(std::size_t index) const;
  /// The only element of a constant.
  [[nodiscard]] double number(std::size_t index) const;

  [[nodiscard]] bool has_attribute(const char* name) const { return find(name) != nullptr; }
  [[nodiscard]] std::int64_t integer(const char* name, std::int64_t otherwise) const;
  [[nodiscard]] bool flag(const char* name, bool otherwise = false) const {
    return integer(name, otherwise ? 1 : 0) != 0;
  }
  [[nodiscard]] double real(const char* name, double otherwise) const;
  [[nodiscard]] std::string text(const char* name, const std::string& otherwise) const;
  [[nodiscard]] std::optional<Sizes> integers(const char* name) const;
  [[nodiscard]] std::optional<std::vector<double>> reals(const char* name) const;
  [[nodiscard]] std::vector<std::string> texts(const char* name) const;
  /// Undefined if there is none of this name.
  [[nodiscard]] at::Tensor tensor(const char* name) const;
  [[nodiscard]] std::vector<Val> run_graph(const char* name, std::vector<Val> inputs) const;

  /// The integers of an attribute, as older opsets have it, or of an input, as newer ones do.
  [[nodiscard]] std::optional<Sizes> attribute_or_input(const char* name, std::size_t index) const;

 private:
  [[nodiscard]] const onnx::AttributeProto* find(const char* name) const;

  const onnx::NodeProto& proto_;
  std::vector<Val> inputs_;
  const RunGraph& run_graph_;
  const ReadTensor& read_tensor_;
  bool only_reader_;
};

/// Operators that several translations need.
Val reshape(Builder& builder, const Val& x, Sizes sizes);
Val permute(Builder& builder, const Val& x, const Sizes& order);
Val cast(Builder& builder, const Val& x, at::ScalarType dtype);
/// The elements begin, begin + step, ... before end of one dimension; step above 0.
Val slice(Builder& builder, const Val& x, std::int64_t dim, std::int64_t begin, std::int64_t end,
          std::int64_t step = 1);
/// The elements of one dimension that these indices name, in their order.
Val pick(Builder& builder, const Val& x, std::int64_t dim, const Sizes& indices);
/// A one-operator call whose result is as large as its first argument and of its type.
Val same(Builder& builder, const char* op, const Args& args, const Val& x);
/// A two-operand operator with broadcasting, of `dtype`.
Val binary(Builder& builder, const char* op, const Val& a, const Val& b, at::ScalarType dtype);
inline Val binary(Builder& builder, const char* op, const Val& a, const Val& b) {
  return binary(builder, op, a, b, a.dtype);
}
/// A number as a tensor of the type of `like`.
Val scalar(double value, at::ScalarType dtype);
/// The sizes must all be known for what follows.
void need_sizes(const Val& x, const char* what);
/// One number a dimension: those given, else the same for all. They must be at least `least`.
Sizes per_dim(std::optional<Sizes> given, std::int64_t dims, std::int64_t otherwise,
              const char* name, std::int64_t least);

}  // namespace cleave::inline v0::model::onnx_in
