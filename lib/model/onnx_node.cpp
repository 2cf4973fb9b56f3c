#include "lib/model/onnx_node.hpp"

#include "lib/model/onnx_tensor.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace cleave::inline v0::model::onnx_in {

using onnx::AttributeProto;

std::vector<std::span<const Operator>> operator_lists() {
  return {elementwise_operators(), layer_operators(),     normalising_operators(),
          reducing_operators(),    shaping_operators(),   indexing_operators(),
          resizing_operators(),    recurrent_operators(), control_operators()};
}

const Operator* find_operator(std::string_view name) {
  static const auto operators = [] {
    std::map<std::string_view, const Operator*> all;
    for (const auto list : operator_lists()) {
      for (const Operator& known : list) all.emplace(known.name, &known);
    }
    return all;
  }();
  const auto found = operators.find(name);
  return found == operators.end() ? nullptr : found->second;
}

const Val& Node::maybe(std::size_t index) const {
  static const Val absent;
  return index < inputs_.size() ? inputs_[index] : absent;
}

const Val& Node::in(std::size_t index) const {
  const Val& value = maybe(index);
  if (!value.present())
    corrupt("input " + std::to_string(index) + " is missing");
  if (value.kind == Val::Kind::sequence)
    corrupt("input " + std::to_string(index) + " is a sequence, not a tensor");
  return value;
}

const at::Tensor& Node::constant(std::size_t index) const {
  const Val& value = in(index);
  if (!value.is_constant())
    refuse("input " + std::to_string(index) + " is known only when the network runs");
  return value.constant;
}

Sizes Node::ints(std::size_t index) const {
  const at::Tensor& tensor = constant(index);
  if (!c10::isIntegralType(tensor.scalar_type(), /*includeBool=*/false) || tensor.dim() > 1)
    corrupt("input " + std::to_string(index) + " must be a list of integers");
  const at::Tensor numbers = tensor.to(at::kLong).contiguous();
  return {numbers.data_ptr<std::int64_t>(), numbers.data_ptr<std::int64_t>() + numbers.numel()};
}

std::vector<double> Node::floats(std::size_t index) const {
  const at::Tensor& tensor = constant(index);
  if (tensor.dim() > 1)
    corrupt("input " + std::to_string(index) + " must be a list of numbers");
  const at::Tensor numbers = tensor.to(at::kDouble).contiguous();
  return {numbers.data_ptr<double>(), numbers.data_ptr<double>() + numbers.numel()};
}

double Node::number(std::size_t index) const {
  const at::Tensor& tensor = constant(index);
  if (tensor.numel() != 1)
    corrupt("input " + std::to_string(index) + " must be one number");
  return tensor.to(at::kDouble).item<double>();
}

const AttributeProto* Node::find(const char* name) const {
  for (const AttributeProto& attribute : proto_.attribute()) {
    if (attribute.name() == name)
      return &attribute;
  }
  return nullptr;
}

namespace {

void expect(const AttributeProto& attribute, AttributeProto::AttributeType type) {
  // Files of IR version 1 leave the type out.
  if (attribute.has_type() && attribute.type() != type)
    corrupt("the attribute '" + attribute.name() + "' is of another type than it must be");
}

}  // namespace

std::int64_t Node::integer(const char* name, std::int64_t otherwise) const {
  const auto* attribute = find(name);
  if (!attribute)
    return otherwise;
  expect(*attribute, AttributeProto::INT);
  return attribute->i();
}

double Node::real(const char* name, double otherwise) const {
  const auto* attribute = find(name);
  if (!attribute)
    return otherwise;
  expect(*attribute, AttributeProto::FLOAT);
  return static_cast<double>(attribute->f());
}

std::string Node::text(const char* name, const std::string& otherwise) const {
  const auto* attribute = find(name);
  if (!attribute)
    return otherwise;
  expect(*attribute, AttributeProto::STRING);
  return attribute->s();
}

std::optional<Sizes> Node::integers(const char* name) const {
  const auto* attribute = find(name);
  if (!attribute)
    return std::nullopt;
  expect(*attribute, AttributeProto::INTS);
  return Sizes(attribute->ints().begin(), attribute->ints().end());
}

std::optional<std::vector<double>> Node::reals(const char* name) const {
  const auto* attribute = find(name);
  if (!attribute)
    return std::nullopt;
  expect(*attribute, AttributeProto::FLOATS);
  return std::vector<double>(attribute->floats().begin(), attribute->floats().end());
}

std::vector<std::string> Node::texts(const char* name) const {
  const auto* attribute = find(name);
  if (!attribute)
    return {};
  expect(*attribute, AttributeProto::STRINGS);
  return {attribute->strings().begin(), attribute->strings().end()};
}

at::Tensor Node::tensor(const char* name) const {
  const auto* attribute = find(name);
  if (!attribute)
    return {};
  expect(*attribute, AttributeProto::TENSOR);
  return read_tensor_(attribute->t());
}

std::vector<Val> Node::run_graph(const char* name, std::vector<Val> inputs) const {
  const auto* attribute = find(name);
  if (!attribute || !attribute->has_g())
    corrupt("the graph '" + std::string(name) + "' is missing");
  return run_graph_(attribute->g(), std::move(inputs));
}

std::optional<Sizes> Node::attribute_or_input(const char* name, std::size_t index) const {
  if (auto attribute = integers(name))
    return attribute;
  if (has(index))
    return ints(index);
  return std::nullopt;
}

Val reshape(Builder& builder, const Val& x, Sizes sizes) {
  if (sizes == x.sizes && x.sizes_known())
    return x;
  if (x.sizes_known()) {
    const bool known = std::find(sizes.begin(), sizes.end(), unknown) == sizes.end();
    if (known && count(sizes) != count(x.sizes))
      corrupt("the sizes " + to_text(x.sizes) + " cannot become " + to_text(sizes));
  }
  const Val origin = builder.before_reshape(x);
  if (sizes == origin.sizes && origin.sizes_known())
    return origin;
  const Sizes target = sizes;
  return builder.emit("aten::reshape", {origin, target}, x.dtype, std::move(sizes));
}

Val permute(Builder& builder, const Val& x, const Sizes& order) {
  Sizes sizes;
  bool moves = false;
  for (std::size_t i = 0; i < order.size(); ++i) {
    sizes.push_back(x.size(order[i]));
    moves = moves || order[i] != static_cast<std::int64_t>(i);
  }
  return moves ? builder.emit("aten::permute", {x, order}, x.dtype, std::move(sizes)) : x;
}

Val cast(Builder& builder, const Val& x, at::ScalarType dtype) {
  if (x.dtype == dtype)
    return x;
  return builder.emit("aten::to", {x, static_cast<std::int64_t>(dtype), false, false, std::nullopt},
                      dtype, x.sizes);
}

Val slice(Builder& builder, const Val& x, std::int64_t dim, std::int64_t begin, std::int64_t end,
          std::int64_t step) {
  const std::int64_t size = x.size(dim);
  if (begin == 0 && end == size && step == 1)
    return x;
  Sizes sizes = x.sizes;
  sizes[static_cast<std::size_t>(dim)] = end <= begin ? 0 : (end - begin - 1) / step + 1;
  return builder.emit("aten::slice", {x, dim, begin, std::max(begin, end), step}, x.dtype,
                      std::move(sizes));
}

Val pick(Builder& builder, const Val& x, std::int64_t dim, const Sizes& indices) {
  Sizes sizes = x.sizes;
  sizes[static_cast<std::size_t>(dim)] = static_cast<std::int64_t>(indices.size());
  return builder.emit("aten::index_select", {x, dim, at::tensor(indices, at::kLong)}, x.dtype,
                      std::move(sizes));
}

Val same(Builder& builder, const char* op, const Args& args, const Val& x) {
  return builder.emit(op, args, x.dtype, x.sizes);
}

Val binary(Builder& builder, const char* op, const Val& a, const Val& b, at::ScalarType dtype) {
  return builder.emit(op, {a, b}, dtype, broadcast(a.sizes, b.sizes));
}

Val scalar(double value, at::ScalarType dtype) {
  return at::scalar_tensor(value, at::TensorOptions(dtype));
}

void need_sizes(const Val& x, const char* what) {
  if (!x.sizes_known())
    refuse(std::string(what) + " of a value whose sizes " + to_text(x.sizes) +
           " depend on the data");
}

Sizes per_dim(std::optional<Sizes> given, std::int64_t dims, std::int64_t otherwise,
              const char* name, std::int64_t least) {
  if (!given)
    return Sizes(static_cast<std::size_t>(dims), otherwise);
  if (static_cast<std::int64_t>(given->size()) != dims)
    corrupt("'" + std::string(name) + "' has " + std::to_string(given->size()) + " numbers where " +
            std::to_string(dims) + " are needed");
  for (const std::int64_t number : *given) {
    // Small enough that no product of two of them overflows.
    if (number < least || number > (std::int64_t{1} << 30))
      corrupt("'" + std::string(name) + "' holds " + std::to_string(number));
  }
  return *given;
}

}  // namespace cleave::inline v0::model::onnx_in
