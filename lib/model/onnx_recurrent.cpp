// ONNX's LSTM, GRU and RNN as ATen's, whose gates stand in another order.
#include "lib/model/onnx_node.hpp"

#include <array>

namespace cleave::inline v0::model::onnx_in {
namespace {

struct Recurrent {
  std::int64_t length = 0, batch = 0, inputs = 0, hidden = 0, directions = 1;
  bool reverse = false, batch_first = false;
};

Recurrent read(Node& node, std::int64_t gates) {
  const Val &x = node.in(0), &w = node.in(1), &r = node.in(2);
  need_sizes(x, "a recurrent layer");
  Recurrent layer;
  const std::string direction = node.text("direction", "forward");
  if (direction != "forward" && direction != "reverse" && direction != "bidirectional")
    corrupt("direction = '" + direction + "'");
  layer.reverse = direction == "reverse";
  layer.directions = direction == "bidirectional" ? 2 : 1;
  layer.batch_first = node.flag("layout");
  if (x.rank() != 3 || w.rank() != 3 || r.rank() != 3)
    corrupt("values of the sizes " + to_text(x.sizes) + ", " + to_text(w.sizes) + ", " +
            to_text(r.sizes));
  layer.length = x.size(layer.batch_first ? 1 : 0);
  layer.batch = x.size(layer.batch_first ? 0 : 1);
  layer.inputs = x.size(2);
  layer.hidden = r.size(2);
  if (layer.hidden < 1 || layer.hidden > (1 << 24) || layer.length < 1 ||
      w.sizes != Sizes{layer.directions, gates * layer.hidden, layer.inputs} ||
      r.sizes != Sizes{layer.directions, gates * layer.hidden, layer.hidden})
    corrupt("weights of the sizes " + to_text(w.sizes) + " and " + to_text(r.sizes) + " for " +
            to_text(x.sizes));
  if (node.has_attribute("hidden_size") && node.integer("hidden_size", 0) != layer.hidden)
    corrupt("hidden_size differs from the weights");
  if (node.has(3) && node.in(3).sizes != Sizes{layer.directions, 2 * gates * layer.hidden})
    corrupt("biases of the sizes " + to_text(node.in(3).sizes));
  if (node.has_attribute("clip"))
    refuse("clip");
  if (node.has(4)) {
    const auto lengths = node.ints(4);
    for (const std::int64_t length : lengths) {
      if (length != layer.length)
        refuse("sequences of different lengths");
    }
  }
  return layer;
}

void default_activations(Node& node, const std::vector<std::string>& wanted,
                         std::int64_t directions) {
  const auto given = node.texts("activations");
  if (node.has_attribute("activation_alpha") || node.has_attribute("activation_beta"))
    refuse("parameters of activations");
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given.size() != wanted.size() * static_cast<std::size_t>(directions) ||
        given[i] != wanted[i % wanted.size()])
      refuse("activations other than the usual");
  }
}

// The rows of the gates in ATen's order; order[i] is where ONNX keeps ATen's gate i.
at::Tensor in_order(const at::Tensor& rows, const Sizes& order, std::int64_t hidden) {
  std::vector<at::Tensor> gates;
  for (const std::int64_t gate : order) gates.push_back(rows.narrow(0, gate * hidden, hidden));
  return at::cat(gates, 0);
}

std::vector<Val> weights(Node& node, const Recurrent& layer, const Sizes& order) {
  const at::Tensor &w = node.constant(1), &r = node.constant(2);
  const auto gates = static_cast<std::int64_t>(order.size());
  node.builder.count_folded(w.numel());
  node.builder.count_folded(r.numel());
  std::vector<Val> list;
  for (std::int64_t d = 0; d < layer.directions; ++d) {
    list.emplace_back(in_order(w[d], order, layer.hidden));
    list.emplace_back(in_order(r[d], order, layer.hidden));
    if (!node.has(3))
      continue;
    const at::Tensor both = node.constant(3)[d];
    list.emplace_back(in_order(both.narrow(0, 0, gates * layer.hidden), order, layer.hidden));
    list.emplace_back(
        in_order(both.narrow(0, gates * layer.hidden, gates * layer.hidden), order, layer.hidden));
  }
  return list;
}

Val state(Node& node, const Recurrent& layer, std::size_t index) {
  const Sizes sizes{layer.directions, layer.batch, layer.hidden};
  if (!node.has(index)) {
    node.builder.count_folded(count(sizes));
    return Val(at::zeros(sizes, at::TensorOptions(node.in(0).dtype)));
  }
  Val h = node.in(index);
  if (layer.batch_first)
    h = permute(node.builder, h, {1, 0, 2});
  if (h.sizes != sizes)
    corrupt("a state of the sizes " + to_text(node.in(index).sizes));
  return h;
}

Val turned(Builder& b, const Val& x, const Recurrent& layer, std::int64_t dim) {
  return layer.reverse ? same(b, "aten::flip", {x, Sizes{dim}}, x) : x;
}

// From [length, batch, directions * hidden] to [length, directions, batch, hidden], or with the
// batch first.
Val outputs(Builder& b, Val y, const Recurrent& layer) {
  y = turned(b, y, layer, 0);
  y = reshape(b, y, {layer.length, layer.batch, layer.directions, layer.hidden});
  return permute(b, y, layer.batch_first ? Sizes{1, 0, 2, 3} : Sizes{0, 2, 1, 3});
}

Val last_state(Builder& b, const Val& h, const Recurrent& layer) {
  return layer.batch_first ? permute(b, h, {1, 0, 2}) : h;
}

struct Call {
  Args args;
  Sizes y, h;
  std::int64_t work = 0;
};

Call call(Node& node, const Recurrent& layer, Arg state, std::vector<Val> parameters,
          std::int64_t gates) {
  Builder& b = node.builder;
  Val x = node.in(0);
  if (layer.batch_first)
    x = permute(b, x, {1, 0, 2});
  x = turned(b, x, layer, 0);
  Call result;
  result.args = {x,
                 std::move(state),
                 std::move(parameters),
                 node.has(3),
                 1,
                 0.0,
                 false,
                 layer.directions == 2,
                 false};
  result.y = {layer.length, layer.batch, layer.directions * layer.hidden};
  result.h = {layer.directions, layer.batch, layer.hidden};
  if (__builtin_mul_overflow(count(result.y), gates * (layer.inputs + layer.hidden), &result.work))
    too_large("its arithmetic");
  return result;
}

std::vector<Val> lstm(Node& node) {
  Builder& b = node.builder;
  const Recurrent layer = read(node, 4);
  if (node.has(7))
    refuse("peepholes");
  if (node.flag("input_forget"))
    refuse("input_forget");
  default_activations(node, {"Sigmoid", "Tanh", "Tanh"}, layer.directions);
  // ONNX: input, output, forget, cell; ATen: input, forget, cell, output.
  Call c = call(node, layer, std::vector<Val>{state(node, layer, 5), state(node, layer, 6)},
                weights(node, layer, {0, 2, 3, 1}), 4);
  const at::ScalarType dtype = node.in(0).dtype;
  const auto y =
      b.emit_several("aten::lstm", c.args, {{dtype, c.y}, {dtype, c.h}, {dtype, c.h}}, c.work);
  return {outputs(b, y[0], layer), last_state(b, y[1], layer), last_state(b, y[2], layer)};
}

std::vector<Val> gru(Node& node) {
  Builder& b = node.builder;
  const Recurrent layer = read(node, 3);
  if (!node.flag("linear_before_reset"))
    refuse("linear_before_reset = 0");
  default_activations(node, {"Sigmoid", "Tanh"}, layer.directions);
  // ONNX: update, reset, hidden; ATen: reset, update, new.
  Call c = call(node, layer, state(node, layer, 5), weights(node, layer, {1, 0, 2}), 3);
  const at::ScalarType dtype = node.in(0).dtype;
  const auto y = b.emit_several("aten::gru", c.args, {{dtype, c.y}, {dtype, c.h}}, c.work);
  return {outputs(b, y[0], layer), last_state(b, y[1], layer)};
}

std::vector<Val> rnn(Node& node) {
  Builder& b = node.builder;
  const Recurrent layer = read(node, 1);
  const auto given = node.texts("activations");
  const bool relu = !given.empty() && given[0] == "Relu";
  default_activations(node, {relu ? "Relu" : "Tanh"}, layer.directions);
  Call c = call(node, layer, state(node, layer, 5), weights(node, layer, {0}), 1);
  const at::ScalarType dtype = node.in(0).dtype;
  const auto y = b.emit_several(relu ? "aten::rnn_relu" : "aten::rnn_tanh", c.args,
                                {{dtype, c.y}, {dtype, c.h}}, c.work);
  return {outputs(b, y[0], layer), last_state(b, y[1], layer)};
}

constexpr const char* limits =
    "constant weights, sequences of one length, the usual activations, no clip";

constexpr std::array table{
    Operator{"GRU", 7, gru, "linear_before_reset = 1; else as LSTM"},
    Operator{"LSTM", 7, lstm,
             "constant weights, sequences of one length, the usual activations; no clip, "
             "peepholes, input_forget"},
    Operator{"RNN", 7, rnn, limits},
};

}  // namespace

std::span<const Operator> recurrent_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
