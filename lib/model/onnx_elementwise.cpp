// ONNX operators that work element by element: arithmetic, comparisons, activations, casts.
#include "lib/model/onnx_node.hpp"
#include "lib/model/onnx_tensor.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace cleave::inline v0::model::onnx_in {
namespace {

// ONNX lets the two operands of an operator be of one type only.
void alike(const Val& a, const Val& b) {
  if (a.dtype != b.dtype)
    corrupt(std::string("its operands are of two element types, ") + c10::toString(a.dtype) +
            " and " + c10::toString(b.dtype));
}

// The number that a constant is to every element of a value of these sizes, if it is one.
std::optional<c10::IValue> as_number(const Val& value, const Val& other) {
  if (!value.is_constant() || value.constant.numel() != 1 || value.rank() > other.rank() ||
      other.is_constant())
    return std::nullopt;
  if (value.is_floating())
    return c10::IValue(value.constant.to(at::kDouble).item<double>());
  if (value.dtype == at::kBool)
    return std::nullopt;
  return c10::IValue(value.constant.to(at::kLong).item<std::int64_t>());
}

Val operate(Builder& b, const char* op, const Val& x, const Val& y, at::ScalarType dtype) {
  alike(x, y);
  if (const auto number = as_number(y, x))
    return b.emit(op, {x, *number}, dtype, x.sizes);
  return binary(b, op, x, y, dtype);
}

// One operand, one ATen operator of its own name.
#define CLEAVE_UNARY(function, aten)                             \
  std::vector<Val> function(Node& node) {                        \
    return {same(node.builder, aten, {node.in(0)}, node.in(0))}; \
  }
CLEAVE_UNARY(abs, "aten::abs")
CLEAVE_UNARY(acos, "aten::acos")
CLEAVE_UNARY(acosh, "aten::acosh")
CLEAVE_UNARY(asin, "aten::asin")
CLEAVE_UNARY(asinh, "aten::asinh")
CLEAVE_UNARY(atan, "aten::atan")
CLEAVE_UNARY(atanh, "aten::atanh")
CLEAVE_UNARY(ceil, "aten::ceil")
CLEAVE_UNARY(cos, "aten::cos")
CLEAVE_UNARY(cosh, "aten::cosh")
CLEAVE_UNARY(erf, "aten::erf")
CLEAVE_UNARY(exp, "aten::exp")
CLEAVE_UNARY(floor, "aten::floor")
CLEAVE_UNARY(hard_swish, "aten::hardswish")
CLEAVE_UNARY(log, "aten::log")
CLEAVE_UNARY(mish, "aten::mish")
CLEAVE_UNARY(neg, "aten::neg")
CLEAVE_UNARY(reciprocal, "aten::reciprocal")
CLEAVE_UNARY(relu, "aten::relu")
CLEAVE_UNARY(round, "aten::round")
CLEAVE_UNARY(sigmoid, "aten::sigmoid")
CLEAVE_UNARY(sign, "aten::sign")
CLEAVE_UNARY(sin, "aten::sin")
CLEAVE_UNARY(sinh, "aten::sinh")
CLEAVE_UNARY(softplus, "aten::softplus")
CLEAVE_UNARY(sqrt, "aten::sqrt")
CLEAVE_UNARY(tan, "aten::tan")
CLEAVE_UNARY(tanh, "aten::tanh")
#undef CLEAVE_UNARY

std::vector<Val> identity(Node& node) {
  if (!node.maybe(0).present())
    corrupt("input 0 is missing");
  return {node.maybe(0)};
}

Val swapped_if_constant(Builder& b, const char* op, const Val& x, const Val& y) {
  return x.is_constant() ? operate(b, op, y, x, x.dtype) : operate(b, op, x, y, x.dtype);
}

// Bool has no arithmetic in ONNX.
void no_bool(const Val& x) {
  if (x.dtype == at::kBool)
    corrupt("it does not take booleans");
}

std::vector<Val> add(Node& node) {
  no_bool(node.in(0));
  return {swapped_if_constant(node.builder, "aten::add", node.in(0), node.in(1))};
}

std::vector<Val> sub(Node& node) {
  no_bool(node.in(0));
  return {operate(node.builder, "aten::sub", node.in(0), node.in(1), node.in(0).dtype)};
}

std::vector<Val> mul(Node& node) {
  no_bool(node.in(0));
  return {swapped_if_constant(node.builder, "aten::mul", node.in(0), node.in(1))};
}

// Whether dividing integers by it cannot trap: the processor does at the smallest number by -1.
bool safe_divisor(const Val& y) {
  return y.is_constant() && !y.constant.eq(-1).any().item<bool>();
}

Val minus_one_to_one(Builder& b, const Val& y) {
  const Val is = b.emit("aten::eq", {y, -1}, at::kBool, y.sizes);
  return b.emit("aten::where", {is, scalar(1, y.dtype), y}, y.dtype, y.sizes);
}

Val where(Builder& b, const Val& condition, const Val& x, const Val& y) {
  return b.emit("aten::where", {condition, x, y}, x.dtype,
                broadcast(condition.sizes, broadcast(x.sizes, y.sizes)));
}

// Of integers: towards zero.
std::vector<Val> div(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &y = node.in(1);
  alike(x, y);
  no_bool(x);
  if (x.is_floating())
    return {operate(b, "aten::div", x, y, x.dtype)};
  const Sizes sizes = broadcast(x.sizes, y.sizes);
  const bool safe = safe_divisor(y) || !c10::isSignedType(y.dtype);
  const Val divisor = safe ? y : minus_one_to_one(b, y);
  const Val quotient =
      b.emit("aten::div", {x, divisor, Arg::named("rounding_mode", "trunc")}, x.dtype, sizes);
  if (safe)
    return {quotient};
  const Val negative = b.emit("aten::eq", {y, -1}, at::kBool, y.sizes);
  return {where(b, negative, same(b, "aten::neg", {x}, x), quotient)};
}

// fmod = 0: the sign of the divisor, integers only; fmod = 1: C's fmod().
std::vector<Val> mod(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &y = node.in(1);
  alike(x, y);
  no_bool(x);
  const bool fmod = node.flag("fmod");
  if (x.is_floating() && !fmod)
    corrupt("floating-point numbers need fmod = 1");
  const char* op = fmod ? "aten::fmod" : "aten::remainder";
  if (x.is_floating() || !c10::isSignedType(y.dtype) || safe_divisor(y))
    return {operate(b, op, x, y, x.dtype)};
  const Val rest = binary(b, op, x, minus_one_to_one(b, y), x.dtype);
  const Val negative = b.emit("aten::eq", {y, -1}, at::kBool, y.sizes);
  return {where(b, negative, scalar(0, x.dtype), rest)};
}

// The result is of the base's type, whatever the exponent's.
std::vector<Val> pow(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &y = node.in(1);
  no_bool(x);
  if (const auto number = as_number(y, x)) {
    if (!x.is_floating() && (number->isDouble() || number->toInt() < 0)) {
      const Val real = cast(b, x, at::kDouble);
      return {cast(b, b.emit("aten::pow", {real, *number}, at::kDouble, x.sizes), x.dtype)};
    }
    return {b.emit("aten::pow", {x, *number}, x.dtype, x.sizes)};
  }
  if (x.dtype == y.dtype && x.is_floating())
    return {binary(b, "aten::pow", x, y)};
  return {
      cast(b, binary(b, "aten::pow", cast(b, x, at::kDouble), cast(b, y, at::kDouble)), x.dtype)};
}

Val over_all(Node& node, const char* op) {
  Val result = node.in(0);
  for (std::size_t i = 1; i < node.input_count(); ++i) {
    alike(result, node.in(i));
    result = binary(node.builder, op, result, node.in(i));
  }
  return result;
}

std::vector<Val> min(Node& node) {
  return {over_all(node, "aten::minimum")};
}
std::vector<Val> max(Node& node) {
  return {over_all(node, "aten::maximum")};
}
std::vector<Val> sum(Node& node) {
  return {over_all(node, "aten::add")};
}
std::vector<Val> mean(Node& node) {
  const Val total = over_all(node, "aten::add");
  if (!total.is_floating())
    corrupt("it takes floating-point numbers only");
  return {same(node.builder, "aten::div", {total, static_cast<double>(node.input_count())}, total)};
}

std::vector<Val> compare(Node& node, const char* op) {
  return {operate(node.builder, op, node.in(0), node.in(1), at::kBool)};
}
std::vector<Val> equal(Node& node) {
  return compare(node, "aten::eq");
}
std::vector<Val> greater(Node& node) {
  return compare(node, "aten::gt");
}
std::vector<Val> greater_or_equal(Node& node) {
  return compare(node, "aten::ge");
}
std::vector<Val> less(Node& node) {
  return compare(node, "aten::lt");
}
std::vector<Val> less_or_equal(Node& node) {
  return compare(node, "aten::le");
}

void only_bool(const Val& x) {
  if (x.dtype != at::kBool)
    corrupt("it takes booleans only");
}

std::vector<Val> logic(Node& node, const char* op) {
  only_bool(node.in(0));
  alike(node.in(0), node.in(1));
  return {binary(node.builder, op, node.in(0), node.in(1))};
}
std::vector<Val> logical_and(Node& node) {
  return logic(node, "aten::logical_and");
}
std::vector<Val> logical_or(Node& node) {
  return logic(node, "aten::logical_or");
}
std::vector<Val> logical_xor(Node& node) {
  return logic(node, "aten::logical_xor");
}
std::vector<Val> logical_not(Node& node) {
  only_bool(node.in(0));
  return {same(node.builder, "aten::logical_not", {node.in(0)}, node.in(0))};
}

std::vector<Val> bitwise(Node& node, const char* op) {
  if (node.in(0).is_floating())
    corrupt("it takes integers only");
  alike(node.in(0), node.in(1));
  return {binary(node.builder, op, node.in(0), node.in(1))};
}
std::vector<Val> bitwise_and(Node& node) {
  return bitwise(node, "aten::bitwise_and");
}
std::vector<Val> bitwise_or(Node& node) {
  return bitwise(node, "aten::bitwise_or");
}
std::vector<Val> bitwise_xor(Node& node) {
  return bitwise(node, "aten::bitwise_xor");
}
std::vector<Val> bitwise_not(Node& node) {
  if (node.in(0).is_floating())
    corrupt("it takes integers only");
  return {same(node.builder, "aten::bitwise_not", {node.in(0)}, node.in(0))};
}

std::vector<Val> where(Node& node) {
  only_bool(node.in(0));
  alike(node.in(1), node.in(2));
  return {where(node.builder, node.in(0), node.in(1), node.in(2))};
}

std::vector<Val> is_nan(Node& node) {
  return {node.builder.emit("aten::isnan", {node.in(0)}, at::kBool, node.in(0).sizes)};
}

std::vector<Val> is_inf(Node& node) {
  const Val& x = node.in(0);
  const bool negative = node.flag("detect_negative", true);
  const bool positive = node.flag("detect_positive", true);
  if (!negative && !positive)
    refuse("neither infinity is asked for");
  const char* op = negative && positive ? "aten::isinf"
                   : negative           ? "aten::isneginf"
                                        : "aten::isposinf";
  return {node.builder.emit(op, {x}, at::kBool, x.sizes)};
}

std::vector<Val> leaky_relu(Node& node) {
  const Val& x = node.in(0);
  return {same(node.builder, "aten::leaky_relu", {x, node.real("alpha", 0.01)}, x)};
}

// The slope is broadcast to x; one for each channel is what ATen has an operator for.
std::vector<Val> prelu(Node& node) {
  Builder& b = node.builder;
  const Val &x = node.in(0), &slope = node.in(1);
  alike(x, slope);
  if (broadcast(x.sizes, slope.sizes) != x.sizes)
    corrupt("the slope's sizes " + to_text(slope.sizes) + " do not fit " + to_text(x.sizes));
  if (slope.is_constant() && x.is_floating()) {
    const at::Tensor& numbers = slope.constant;
    if (numbers.numel() == 1)
      return {same(b, "aten::leaky_relu", {x, numbers.to(at::kDouble).item<double>()}, x)};
    const bool by_channel = x.rank() >= 2 && slope.rank() == x.rank() - 1 &&
                            numbers.numel() == slope.size(0) && slope.size(0) == x.size(1);
    if (by_channel)
      return {same(b, "aten::prelu", {x, numbers.flatten()}, x)};
  }
  const Val negative = b.emit("aten::lt", {x, 0}, at::kBool, x.sizes);
  return {where(b, negative, binary(b, "aten::mul", x, slope), x)};
}

std::vector<Val> elu(Node& node) {
  const Val& x = node.in(0);
  return {same(node.builder, "aten::elu", {x, node.real("alpha", 1.0), 1.0, 1.0}, x)};
}

std::vector<Val> selu(Node& node) {
  const Val& x = node.in(0);
  const double alpha = node.real("alpha", 1.67326319217681884765625);
  const double gamma = node.real("gamma", 1.05070102214813232421875);
  return {same(node.builder, "aten::elu", {x, alpha, gamma, 1.0}, x)};
}

std::vector<Val> celu(Node& node) {
  const Val& x = node.in(0);
  return {same(node.builder, "aten::celu", {x, node.real("alpha", 1.0)}, x)};
}

std::vector<Val> softsign(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const Val below = same(b, "aten::add", {same(b, "aten::abs", {x}, x), 1.0}, x);
  return {binary(b, "aten::div", x, below)};
}

// max(0, min(1, alpha * x + beta)); ATen's own has alpha = 1/6 and beta = 1/2.
std::vector<Val> hard_sigmoid(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const auto alpha = static_cast<float>(node.real("alpha", 0.2));
  const auto beta = static_cast<float>(node.real("beta", 0.5));
  if (std::abs(alpha - 1.0F / 6) < 1e-6F && beta == 0.5F)
    return {same(b, "aten::hardsigmoid", {x}, x)};
  Val y = same(b, "aten::mul", {x, static_cast<double>(alpha)}, x);
  y = same(b, "aten::add", {y, static_cast<double>(beta)}, y);
  return {same(b, "aten::hardtanh", {y, 0.0, 1.0}, y)};
}

std::vector<Val> gelu(Node& node) {
  const std::string form = node.text("approximate", "none");
  if (form != "none" && form != "tanh")
    corrupt("approximate = '" + form + "'");
  const Val& x = node.in(0);
  return {node.builder.emit("aten::gelu", {x, Arg::named("approximate", form.c_str())}, x.dtype,
                            x.sizes)};
}

std::vector<Val> thresholded_relu(Node& node) {
  const Val& x = node.in(0);
  return {same(node.builder, "aten::threshold", {x, node.real("alpha", 1.0), 0.0}, x)};
}

std::vector<Val> shrink(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const double lambda = node.real("lambd", 0.5), bias = node.real("bias", 0.0);
  const Val below = b.emit("aten::lt", {x, -lambda}, at::kBool, x.sizes);
  const Val above = b.emit("aten::gt", {x, lambda}, at::kBool, x.sizes);
  const Val zero = scalar(0, x.dtype);
  const Val low = where(b, below, same(b, "aten::add", {x, bias}, x), zero);
  return {where(b, above, same(b, "aten::sub", {x, bias}, x), low)};
}

// Attributes up to opset 10, inputs since; a bound may be missing.
std::vector<Val> clip(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  std::optional<c10::IValue> low, high;
  if (node.opset < 11) {
    if (node.has_attribute("min"))
      low = c10::IValue(node.real("min", 0));
    if (node.has_attribute("max"))
      high = c10::IValue(node.real("max", 0));
  } else {
    bool computed = false;
    for (const std::size_t i : {1u, 2u}) {
      if (!node.has(i))
        continue;
      const Val& bound = node.in(i);
      alike(x, bound);
      if (!bound.is_constant()) {
        computed = true;
        continue;
      }
      if (bound.constant.numel() != 1)
        corrupt("a bound must be one number");
      (i == 1 ? low : high) = x.is_floating()
                                  ? c10::IValue(node.number(i))
                                  : c10::IValue(bound.constant.to(at::kLong).item<std::int64_t>());
    }
    if (computed) {
      Val y = x;
      if (node.has(1))
        y = b.emit("aten::maximum", {y, node.in(1)}, x.dtype, x.sizes);
      if (node.has(2))
        y = b.emit("aten::minimum", {y, node.in(2)}, x.dtype, x.sizes);
      return {y};
    }
  }
  if (x.is_floating()) {
    // Bounds that bound nothing, as exporters write them.
    constexpr double largest = std::numeric_limits<float>::max();
    if (low && low->toDouble() <= -largest)
      low.reset();
    if (high && high->toDouble() >= largest)
      high.reset();
    if (low && low->toDouble() == 0 && !high)
      return {same(b, "aten::relu", {x}, x)};
    if (low && high && low->toDouble() <= high->toDouble())
      return {same(b, "aten::hardtanh", {x, *low, *high}, x)};
  }
  if (!low && !high)
    return {x};
  return {same(b, "aten::clamp",
               {x, low ? Arg(*low) : Arg(std::nullopt), high ? Arg(*high) : Arg(std::nullopt)}, x)};
}

std::vector<Val> cast(Node& node) {
  const std::int64_t to = node.integer("to", 0);
  if (to < 0 || to > 1000)
    corrupt("it casts to the element type number " + std::to_string(to));
  return {cast(node.builder, node.in(0), to_scalar_type(static_cast<std::int32_t>(to)))};
}

std::vector<Val> cast_like(Node& node) {
  return {cast(node.builder, node.in(0), node.in(1).dtype)};
}

constexpr std::array table{
    Operator{"Abs", 6, abs, ""},
    Operator{"Acos", 7, acos, ""},
    Operator{"Acosh", 9, acosh, ""},
    Operator{"Add", 7, add, ""},
    Operator{"And", 7, logical_and, ""},
    Operator{"Asin", 7, asin, ""},
    Operator{"Asinh", 9, asinh, ""},
    Operator{"Atan", 7, atan, ""},
    Operator{"Atanh", 9, atanh, ""},
    Operator{"BitwiseAnd", 18, bitwise_and, ""},
    Operator{"BitwiseNot", 18, bitwise_not, ""},
    Operator{"BitwiseOr", 18, bitwise_or, ""},
    Operator{"BitwiseXor", 18, bitwise_xor, ""},
    Operator{"Cast", 9, cast, "not to or from strings, unsigned 16 to 64 bits, 8-bit floats"},
    Operator{"CastLike", 15, cast_like, "as Cast"},
    Operator{"Ceil", 6, ceil, ""},
    Operator{"Celu", 12, celu, ""},
    Operator{"Clip", 6, clip, ""},
    Operator{"Cos", 7, cos, ""},
    Operator{"Cosh", 9, cosh, ""},
    Operator{"Div", 7, div, ""},
    Operator{"Elu", 6, elu, ""},
    Operator{"Equal", 7, equal, "not of strings"},
    Operator{"Erf", 9, erf, ""},
    Operator{"Exp", 6, exp, ""},
    Operator{"Floor", 6, floor, ""},
    Operator{"Gelu", 20, gelu, ""},
    Operator{"Greater", 7, greater, ""},
    Operator{"GreaterOrEqual", 12, greater_or_equal, ""},
    Operator{"HardSigmoid", 6, hard_sigmoid, ""},
    Operator{"HardSwish", 14, hard_swish, ""},
    Operator{"Identity", 1, identity, ""},
    Operator{"IsInf", 10, is_inf, ""},
    Operator{"IsNaN", 9, is_nan, ""},
    Operator{"LeakyRelu", 6, leaky_relu, ""},
    Operator{"Less", 7, less, ""},
    Operator{"LessOrEqual", 12, less_or_equal, ""},
    Operator{"Log", 6, log, ""},
    Operator{"Max", 8, max, ""},
    Operator{"Mean", 8, mean, ""},
    Operator{"Min", 8, min, ""},
    Operator{"Mish", 18, mish, ""},
    Operator{"Mod", 10, mod, ""},
    Operator{"Mul", 7, mul, ""},
    Operator{"Neg", 6, neg, ""},
    Operator{"Not", 1, logical_not, ""},
    Operator{"Or", 7, logical_or, ""},
    Operator{"PRelu", 7, prelu, ""},
    Operator{"Pow", 7, pow, ""},
    Operator{"Reciprocal", 6, reciprocal, ""},
    Operator{"Relu", 6, relu, ""},
    Operator{"Round", 11, round, ""},
    Operator{"Selu", 6, selu, ""},
    Operator{"Shrink", 9, shrink, ""},
    Operator{"Sigmoid", 6, sigmoid, ""},
    Operator{"Sign", 9, sign, ""},
    Operator{"Sin", 7, sin, ""},
    Operator{"Sinh", 9, sinh, ""},
    Operator{"Softplus", 1, softplus, ""},
    Operator{"Softsign", 1, softsign, ""},
    Operator{"Sqrt", 6, sqrt, ""},
    Operator{"Sub", 7, sub, ""},
    Operator{"Sum", 8, sum, ""},
    Operator{"Tan", 7, tan, ""},
    Operator{"Tanh", 6, tanh, ""},
    Operator{"ThresholdedRelu", 10, thresholded_relu, ""},
    Operator{"Where", 9, where, ""},
    Operator{"Xor", 7, logical_xor, ""},
};

}  // namespace

std::span<const Operator> elementwise_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
