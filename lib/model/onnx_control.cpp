// ONNX's control flow and sequences, both worked out while the file is read: branches whose
// condition and loops whose count the constants decide, sequences whose length they do.
#include "lib/model/onnx_node.hpp"

#include <array>

namespace cleave::inline v0::model::onnx_in {
namespace {

bool decided(const at::Tensor& condition) {
  if (condition.numel() != 1 || condition.scalar_type() != at::kBool)
    corrupt("a condition must be one boolean");
  return condition.item<bool>();
}

std::vector<Val> branch(Node& node) {
  return node.run_graph(decided(node.constant(0)) ? "then_branch" : "else_branch", {});
}

std::vector<Val> loop(Node& node) {
  std::int64_t most = most_elements;
  const bool counted = node.has(0);
  if (counted)
    most = static_cast<std::int64_t>(node.number(0));
  bool going = !node.has(1) || decided(node.constant(1));
  if (!counted && !node.has(1))
    refuse("a loop without an end");
  std::vector<Val> carried;
  for (std::size_t i = 2; i < node.input_count(); ++i) carried.push_back(node.maybe(i));
  std::vector<std::vector<Val>> scanned;
  std::int64_t i = 0;
  for (; i < most && going; ++i) {
    std::vector<Val> inputs{Val(at::scalar_tensor(at::Scalar(i), at::kLong)),
                            Val(at::scalar_tensor(at::Scalar(true), at::kBool))};
    inputs.insert(inputs.end(), carried.begin(), carried.end());
    auto outputs = node.run_graph("body", std::move(inputs));
    if (outputs.size() < carried.size() + 1)
      corrupt("the loop's body gives too few values");
    if (!outputs[0].is_constant())
      refuse("a loop whose end is known only when the network runs");
    going = decided(outputs[0].constant);
    for (std::size_t k = 0; k < carried.size(); ++k) carried[k] = outputs[k + 1];
    scanned.resize(outputs.size() - 1 - carried.size());
    for (std::size_t k = 0; k < scanned.size(); ++k)
      scanned[k].push_back(outputs[k + 1 + carried.size()]);
  }
  if (i == 0 && node.proto().output_size() > static_cast<int>(carried.size()))
    refuse("a loop that gathers results and never runs");
  std::vector<Val> values = std::move(carried);
  for (auto& items : scanned) {
    Sizes sizes = items[0].sizes;
    sizes.insert(sizes.begin(), static_cast<std::int64_t>(items.size()));
    for (const Val& item : items) {
      if (!item.present() || item.kind == Val::Kind::sequence || item.sizes != items[0].sizes ||
          item.dtype != items[0].dtype)
        corrupt("a loop that gathers values of different sizes");
    }
    const at::ScalarType dtype = items[0].dtype;
    values.push_back(
        node.builder.emit("aten::stack", {std::move(items), 0}, dtype, std::move(sizes)));
  }
  return values;
}

const Val& sequence(Node& node, std::size_t index) {
  const Val& value = node.maybe(index);
  if (value.kind != Val::Kind::sequence)
    corrupt("input " + std::to_string(index) + " must be a sequence");
  return value;
}

std::vector<Val> sequence_empty(Node&) {
  return {sequence_of({})};
}

std::vector<Val> sequence_construct(Node& node) {
  std::vector<Val> items;
  for (std::size_t i = 0; i < node.input_count(); ++i) items.push_back(node.in(i));
  return {sequence_of(std::move(items))};
}

// A place in a sequence of `length`, `beyond` included.
std::size_t place(Node& node, std::size_t index, std::size_t length, bool beyond) {
  const auto whole = static_cast<std::int64_t>(length);
  auto at = static_cast<std::int64_t>(node.number(index));
  if (at < -whole || at >= whole + (beyond ? 1 : 0))
    corrupt("place " + std::to_string(at) + " in a sequence of " + std::to_string(whole));
  return static_cast<std::size_t>(at < 0 ? at + whole : at);
}

std::vector<Val> sequence_insert(Node& node) {
  std::vector<Val> items = sequence(node, 0).items;
  if (items.size() >= 10'000)
    too_large("a sequence of more than 10,000 values");
  const std::size_t at = node.has(2) ? place(node, 2, items.size(), true) : items.size();
  items.insert(items.begin() + static_cast<std::ptrdiff_t>(at), node.in(1));
  return {sequence_of(std::move(items))};
}

std::vector<Val> sequence_erase(Node& node) {
  std::vector<Val> items = sequence(node, 0).items;
  if (items.empty())
    corrupt("the sequence is empty");
  const std::size_t at = node.has(1) ? place(node, 1, items.size(), false) : items.size() - 1;
  items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
  return {sequence_of(std::move(items))};
}

std::vector<Val> sequence_at(Node& node) {
  const auto& items = sequence(node, 0).items;
  return {items.at(place(node, 1, items.size(), false))};
}

std::vector<Val> sequence_length(Node& node) {
  return {at::scalar_tensor(at::Scalar(static_cast<std::int64_t>(sequence(node, 0).items.size())),
                            at::kLong)};
}

std::vector<Val> concat_from_sequence(Node& node) {
  const auto& items = sequence(node, 0).items;
  if (items.empty())
    corrupt("the sequence is empty");
  const bool stack = node.flag("new_axis");
  const std::int64_t axis = axis_of(node.integer("axis", 0), items[0].rank() + (stack ? 1 : 0));
  Sizes sizes = items[0].sizes;
  if (stack)
    sizes.insert(sizes.begin() + axis, static_cast<std::int64_t>(items.size()));
  for (std::size_t i = 1; i < items.size(); ++i) {
    const Val& item = items[i];
    if (item.rank() != items[0].rank() || item.dtype != items[0].dtype || !item.sizes_known() ||
        !items[0].sizes_known())
      corrupt("values of the sizes " + to_text(items[0].sizes) + " and " + to_text(item.sizes));
    for (std::int64_t d = 0; d < item.rank(); ++d) {
      if (!stack && d == axis)
        sizes[static_cast<std::size_t>(d)] += item.size(d);
      else if (item.size(d) != items[0].size(d))
        corrupt("values of the sizes " + to_text(items[0].sizes) + " and " + to_text(item.sizes));
    }
  }
  return {node.builder.emit(stack ? "aten::stack" : "aten::cat", {items, axis}, items[0].dtype,
                            std::move(sizes))};
}

std::vector<Val> split_to_sequence(Node& node) {
  Builder& b = node.builder;
  const Val& x = node.in(0);
  const std::int64_t axis = axis_of(node.integer("axis", 0), x.rank()), whole = x.size(axis);
  if (whole == unknown)
    refuse("a size that depends on the data");
  Sizes parts;
  const bool drop = !node.has(1) && !node.flag("keepdims", true);
  if (node.has(1) && node.in(1).rank() == 1) {
    parts = node.ints(1);
  } else {
    const std::int64_t each = node.has(1) ? node.ints(1).at(0) : 1;
    if (each < 1)
      corrupt("parts of " + std::to_string(each));
    if (whole / each > 10'000)
      too_large("a sequence of more than 10,000 values");
    for (std::int64_t left = whole; left > 0; left -= each) parts.push_back(std::min(left, each));
  }
  std::int64_t begin = 0;
  std::vector<Val> items;
  for (const std::int64_t part : parts) {
    if (part < 0 || part > whole - begin)
      corrupt("parts that do not make up " + std::to_string(whole));
    Val item = slice(b, x, axis, begin, begin + part);
    begin += part;
    if (drop) {
      Sizes sizes = item.sizes;
      sizes.erase(sizes.begin() + axis);
      item = b.emit("aten::squeeze", {item, axis}, x.dtype, std::move(sizes));
    }
    items.push_back(std::move(item));
  }
  if (begin != whole)
    corrupt("parts that do not make up " + std::to_string(whole));
  return {sequence_of(std::move(items))};
}

constexpr std::array table{
    Operator{"ConcatFromSequence", 11, concat_from_sequence, ""},
    Operator{"If", 1, branch, "the condition must follow from constants and sizes"},
    Operator{"Loop", 1, loop, "count and condition must follow from constants and sizes"},
    Operator{"SequenceAt", 11, sequence_at, "constant place"},
    Operator{"SequenceConstruct", 11, sequence_construct, ""},
    Operator{"SequenceEmpty", 11, sequence_empty, ""},
    Operator{"SequenceErase", 11, sequence_erase, "constant place"},
    Operator{"SequenceInsert", 11, sequence_insert, "constant place"},
    Operator{"SequenceLength", 11, sequence_length, ""},
    Operator{"SplitToSequence", 11, split_to_sequence, "constant parts"},
};

}  // namespace

std::span<const Operator> control_operators() {
  return table;
}

}  // namespace cleave::inline v0::model::onnx_in
