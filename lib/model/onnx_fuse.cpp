#include "lib/model/onnx_fuse.hpp"

#include <cmath>
#include <optional>

namespace cleave::inline v0::model::onnx_in {
namespace {

namespace jit = torch::jit;
using jit::Node;
using jit::Value;

bool is(const Node* node, const char* op) {
  return node->kind() == c10::Symbol::fromQualString(op);
}

// The node that makes a value, if it is of this kind.
Node* made_by(Value* value, const char* op) {
  return is(value->node(), op) ? value->node() : nullptr;
}

std::optional<double> number(Value* value) {
  const auto constant = jit::toIValue(value);
  if (!constant)
    return std::nullopt;
  if (constant->isDouble())
    return constant->toDouble();
  if (constant->isInt())
    return static_cast<double>(constant->toInt());
  if (constant->isTensor() && constant->toTensor().numel() == 1)
    return constant->toTensor().to(at::kDouble).item<double>();
  return std::nullopt;
}

bool near(std::optional<double> value, double wanted) {
  return value && std::abs(*value - wanted) <= 1e-6 * std::abs(wanted);
}

// x in x op constant.
Value* with_number(Value* value, const char* op, double wanted) {
  Node* node = made_by(value, op);
  if (!node || !near(number(node->input(1)), wanted))
    return nullptr;
  if (is(node, "aten::add") && !near(number(node->input(2)), 1))
    return nullptr;
  return node->input(0);
}

// x in x / d, which exporters also write as x * (1 / d).
Value* divided_by(Value* value, double d) {
  if (Value* x = with_number(value, "aten::div", d))
    return x;
  return with_number(value, "aten::mul", 1 / d);
}

class Fuser {
 public:
  explicit Fuser(Builder& builder) : graph_(*builder.graph()), sizes_(builder.sizes()) {}

  void run() {
    for (auto it = graph_.nodes().begin(); it != graph_.nodes().end();) {
      Node* node = *it++;
      if (is(node, "aten::mul")) {
        if (!gelu(node) && !self_gated(node))
          hard_swish_before_division(node);
      } else if (is(node, "aten::div")) {
        hard_swish(node);
      } else if (is(node, "aten::add")) {
        if (!linear(node))
          layer_norm(node);
      }
    }
  }

 private:
  void replace(Node* node, const char* op, const std::vector<jit::NamedValue>& arguments,
               const std::vector<jit::NamedValue>& named = {}) {
    const jit::WithInsertPoint here(node);
    const auto scope = graph_.current_scope();
    graph_.set_current_scope(node->scope());
    Value* result = graph_.insert(c10::Symbol::fromQualString(op), arguments, named);
    graph_.set_current_scope(scope);
    sizes_[result] = sizes_[node->output()];
    node->output()->replaceAllUsesWith(result);
  }

  // Both ways round of a product.
  template <class F>
  static bool either(Node* node, const F& f) {
    return f(node->input(0), node->input(1)) || f(node->input(1), node->input(0));
  }

  static Value* erf_plus_one(Value* value) {
    Value* erf = with_number(value, "aten::add", 1);
    Node* node = erf ? made_by(erf, "aten::erf") : nullptr;
    return node ? divided_by(node->input(0), std::sqrt(2.0)) : nullptr;
  }

  // 0.5 * x * (1 + erf(x / sqrt(2))), whichever two are multiplied first.
  bool gelu(Node* node) {
    const auto halved = [](Value* value) -> Value* {
      if (Value* x = with_number(value, "aten::mul", 0.5))
        return x;
      return with_number(value, "aten::div", 2);
    };
    const auto found = [&](Value* x) {
      replace(node, "aten::gelu", {x});
      return true;
    };
    // (x * 0.5) * (1 + erf), x * (0.5 * (1 + erf))
    if (!number(node->input(1)) && either(node, [&](Value* a, Value* b) {
          Value* x = halved(a);
          if (x && erf_plus_one(b) == x)
            return found(x);
          Value* gate = halved(b);
          return gate && erf_plus_one(gate) == a && found(a);
        }))
      return true;
    // (x * (1 + erf)) * 0.5
    if (!near(number(node->input(1)), 0.5))
      return false;
    Node* inner = made_by(node->input(0), "aten::mul");
    return inner &&
           either(inner, [&](Value* a, Value* b) { return erf_plus_one(b) == a && found(a); });
  }

  // x * sigmoid(x) and its like.
  bool self_gated(Node* node) {
    return either(node, [&](Value* x, Value* gate) {
      const char* op = nullptr;
      if (Node* sigmoid = made_by(gate, "aten::sigmoid"); sigmoid && sigmoid->input(0) == x)
        op = "aten::silu";
      else if (Node* hard = made_by(gate, "aten::hardsigmoid"); hard && hard->input(0) == x)
        op = "aten::hardswish";
      else if (Node* tanh = made_by(gate, "aten::tanh")) {
        Node* soft = made_by(tanh->input(0), "aten::softplus");
        if (soft && soft->input(0) == x && near(number(soft->input(1)), 1) &&
            near(number(soft->input(2)), 20))
          op = "aten::mish";
      } else if (Value* six = hard_gate(gate); six && six == x) {
        op = "aten::hardswish";
      }
      if (!op)
        return false;
      replace(node, op, {x});
      return true;
    });
  }

  // x in clip(x + 3, 0, 6)
  static Value* clipped(Value* value) {
    Node* clip = made_by(value, "aten::hardtanh");
    if (!clip || number(clip->input(1)) != 0.0 || number(clip->input(2)) != 6.0)
      return nullptr;
    return with_number(clip->input(0), "aten::add", 3);
  }

  // x in clip(x + 3, 0, 6) / 6
  static Value* hard_gate(Value* value) {
    Value* clip = divided_by(value, 6);
    return clip ? clipped(clip) : nullptr;
  }

  bool hard_swish_of(Node* whole, Value* product) {
    Node* inner = made_by(product, "aten::mul");
    return inner && either(inner, [&](Value* x, Value* clip) {
             if (clipped(clip) != x)
               return false;
             replace(whole, "aten::hardswish", {x});
             return true;
           });
  }

  // (x * clip(x + 3, 0, 6)) / 6
  bool hard_swish(Node* node) {
    return near(number(node->input(1)), 6) && hard_swish_of(node, node->input(0));
  }
  bool hard_swish_before_division(Node* node) {
    return near(number(node->input(1)), 1.0 / 6) && hard_swish_of(node, node->input(0));
  }

  // linear(x, w) + b
  bool linear(Node* node) {
    return either(node, [&](Value* product, Value* other) {
      Node* inner = made_by(product, "aten::linear");
      if (!inner || product->uses().size() != 1 || !near(number(node->input(2)), 1))
        return false;
      const auto weight = jit::toIValue(inner->input(1)), none = jit::toIValue(inner->input(2)),
                 bias = jit::toIValue(other);
      if (!weight || !none || !none->isNone() || !bias || !bias->isTensor())
        return false;
      const at::Tensor& b = bias->toTensor();
      if (b.dim() > static_cast<std::int64_t>(sizes_[product].size()) || b.dim() < 1 ||
          b.numel() != weight->toTensor().size(0) || b.size(-1) != b.numel())
        return false;
      Value* row = other;
      if (b.dim() != 1) {
        const jit::WithInsertPoint front(*graph_.nodes().begin());
        row = graph_.insertConstant(b.flatten());
      }
      replace(node, "aten::linear", {inner->input(0), inner->input(1), row});
      return true;
    });
  }

  // The mean over the last dimensions, kept.
  static std::optional<Sizes> mean_of(Value* value, Value* x) {
    Node* node = made_by(value, "aten::mean");
    if (!node || node->inputs().size() != 4 || node->input(0) != x)
      return std::nullopt;
    const auto dims = jit::toIValue(node->input(1)), keep = jit::toIValue(node->input(2));
    if (!dims || !dims->isIntList() || !keep || !keep->toBool())
      return std::nullopt;
    return dims->toIntVector();
  }

  // (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias
  bool layer_norm(Node* node) {
    return either(node, [&](Value* scaled, Value* bias) {
      if (!jit::toIValue(bias) || !near(number(node->input(2)), 1))
        return false;
      Node* mul = made_by(scaled, "aten::mul");
      return mul && either(mul, [&](Value* normal, Value* weight) {
               return jit::toIValue(weight) && normalised(node, normal, weight, bias);
             });
    });
  }

  bool normalised(Node* whole, Value* normal, Value* weight, Value* bias) {
    Node* div = made_by(normal, "aten::div");
    if (!div)
      return false;
    Value* centred = div->input(0);
    Node* sub = made_by(centred, "aten::sub");
    Node* root = made_by(div->input(1), "aten::sqrt");
    Node* add = root ? made_by(root->input(0), "aten::add") : nullptr;
    if (!sub || !add || !number(add->input(1)))
      return false;
    const auto dims = mean_of(sub->input(1), sub->input(0));
    Node* mean = made_by(add->input(0), "aten::mean");
    if (!dims || !mean)
      return false;
    Value* squared = mean->input(0);
    if (mean_of(add->input(0), squared) != dims)
      return false;
    Node* square = squared->node();
    const bool power = is(square, "aten::pow") && number(square->input(1)) == 2.0;
    const bool product = is(square, "aten::mul") && square->input(1) == square->input(0);
    if ((!power && !product) || !same_difference(square->input(0), sub))
      return false;
    const Sizes& sizes = sizes_[sub->input(0)];
    const auto rank = static_cast<std::int64_t>(sizes.size());
    const auto kept = static_cast<std::int64_t>(dims->size());
    Sizes shape;
    for (std::int64_t i = 0; i < kept; ++i) {
      const std::int64_t dim = (*dims)[static_cast<std::size_t>(i)];
      if ((dim < 0 ? dim + rank : dim) != rank - kept + i)
        return false;
      shape.push_back(sizes[static_cast<std::size_t>(rank - kept + i)]);
      if (shape.back() == unknown)
        return false;
    }
    const auto w = jit::toIValue(weight), b = jit::toIValue(bias);
    if (!w->isTensor() || !b->isTensor() || w->toTensor().sizes() != c10::IntArrayRef(shape) ||
        b->toTensor().sizes() != c10::IntArrayRef(shape))
      return false;
    replace(whole, "aten::layer_norm",
            {sub->input(0), c10::IValue(shape), weight, bias, *number(add->input(1)), false});
    return true;
  }

  // Paddle computes the difference twice.
  static bool same_difference(Value* value, Node* sub) {
    if (value == sub->output())
      return true;
    Node* other = made_by(value, "aten::sub");
    return other && other->input(0) == sub->input(0) &&
           mean_of(other->input(1), sub->input(0)) == mean_of(sub->input(1), sub->input(0));
  }

  jit::Graph& graph_;
  std::unordered_map<const Value*, Sizes>& sizes_;
};

}  // namespace

void fuse(Builder& builder) {
  Fuser(builder).run();
}

}  // namespace cleave::inline v0::model::onnx_in
