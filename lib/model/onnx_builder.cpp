#include "lib/model/onnx_builder.hpp"

#include <algorithm>

namespace cleave::inline v0::model::onnx_in {

namespace jit = torch::jit;

Val sequence_of(std::vector<Val> items) {
  Val value;
  value.kind = Val::Kind::sequence;
  value.items = std::move(items);
  return value;
}

Arg Arg::optional_list(std::vector<Val> list) {
  Arg arg(std::nullopt);
  arg.data_ = OptionalList{std::move(list)};
  return arg;
}

Arg Arg::named(const char* name, Arg value) {
  value.name_ = name;
  return value;
}

bool Arg::is_constant() const {
  const auto constant = [](const Val& value) { return value.is_constant() || !value.present(); };
  if (const auto* value = std::get_if<Val>(&data_))
    return constant(*value);
  if (const auto* list = std::get_if<std::vector<Val>>(&data_))
    return std::all_of(list->begin(), list->end(), constant);
  if (const auto* list = std::get_if<OptionalList>(&data_))
    return std::all_of(list->items.begin(), list->items.end(), constant);
  return true;
}

std::string to_text(const Sizes& sizes) {
  std::string text = "[";
  for (const std::int64_t size : sizes) {
    text += text.size() > 1 ? ", " : "";
    text += size == unknown ? "?" : std::to_string(size);
  }
  return text + "]";
}

std::int64_t count(const Sizes& sizes) {
  std::int64_t product = 1;
  bool empty = false;
  for (const std::int64_t size : sizes) {
    if (size == unknown)
      continue;
    if (size < 0)
      corrupt("a size is negative: " + to_text(sizes));
    // Beside a zero too: sums and products of two sizes must not overflow.
    if (size > most_size)
      too_large("a value of the sizes " + to_text(sizes) + " is too large");
    empty = empty || size == 0;
    if (size > 0 && __builtin_mul_overflow(product, size, &product))
      too_large("a value of the sizes " + to_text(sizes) + " is too large");
  }
  return empty ? 0 : product;
}

std::int64_t count_one(const Sizes& sizes) {
  const std::int64_t elements = count(sizes);
  if (elements > most_elements)
    too_large("a value of the sizes " + to_text(sizes) + " is too large");
  return elements;
}

Sizes broadcast(const Sizes& a, const Sizes& b) {
  Sizes result(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    std::int64_t& size = result[result.size() - 1 - i];
    if (x == 1 || x == y)
      size = y;
    else if (y == 1)
      size = x;
    else if (x == unknown || y == unknown)
      size = std::max(x, y);
    else
      corrupt("the sizes " + to_text(a) + " and " + to_text(b) + " do not fit together");
  }
  return result;
}

std::int64_t axis_of(std::int64_t axis, std::int64_t rank) {
  if (axis < -rank || axis >= rank)
    corrupt("axis " + std::to_string(axis) + " of a value with " + std::to_string(rank) +
            " dimensions");
  return axis < 0 ? axis + rank : axis;
}

Builder::Builder() : graph_(std::make_shared<jit::Graph>()) {}

void Builder::enter_layer(const std::string& layer) {
  auto scope = c10::make_intrusive<jit::Scope>();
  if (!layer.empty())
    scope = scope->push(c10::Symbol::scope(layer));
  graph_->set_current_scope(scope);
}

Val Builder::add_input(const std::string& name, at::ScalarType dtype, Sizes sizes) {
  count_value(sizes, 0);
  Val value;
  value.kind = Val::Kind::computed;
  value.node = graph_->addInput();
  // The graph's own names must be identifiers; the file's are kept in OnnxImport::inputs.
  std::string plain;
  for (const char c : name)
    plain += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ? c : '_';
  if (plain.empty() || (plain[0] >= '0' && plain[0] <= '9'))
    plain = "input_" + plain;
  value.node->setDebugName(plain);
  value.dtype = dtype;
  value.sizes = std::move(sizes);
  sizes_[value.node] = value.sizes;
  return value;
}

void Builder::add_output(const Val& value) {
  if (value.kind == Val::Kind::sequence) {
    std::vector<jit::Value*> items;
    for (const Val& item : value.items) items.push_back(use(item));
    graph_->registerOutput(
        graph_->insertNode(graph_->createList(c10::TensorType::get(), items))->output());
    return;
  }
  graph_->registerOutput(use(value));
}

jit::Value* Builder::use(const Val& value) {
  if (value.kind == Val::Kind::computed)
    return value.node;
  if (value.kind != Val::Kind::constant)
    corrupt(value.present() ? "a sequence stands where a tensor is needed"
                            : "a value that is needed is missing");
  const auto known = constants_.find(value.constant.unsafeGetTensorImpl());
  if (known != constants_.end())
    return known->second;
  // Constants go to the front, where every node may read them.
  const jit::WithInsertPoint front(*graph_->nodes().begin());
  const auto scope = graph_->current_scope();
  graph_->set_current_scope(c10::make_intrusive<jit::Scope>());
  jit::Value* constant = graph_->insertConstant(value.constant);
  graph_->set_current_scope(scope);
  kept_.push_back(value.constant);
  constants_.emplace(value.constant.unsafeGetTensorImpl(), constant);
  return constant;
}

void Builder::count_value(const Sizes& sizes, std::int64_t work) {
  elements_ += count_one(sizes);
  if (elements_ > most_elements_all)
    too_large("the network's values are too large together");
  if (work < 0 || work > most_work || (work_ += work) > most_work)
    too_large("the network's arithmetic is more than 2^42 multiplications");
  if (++nodes_ > most_nodes)
    too_large("the network has more than " + std::to_string(most_nodes) + " operators");
}

void Builder::count_folded(std::int64_t elements) {
  if (elements > most_elements || (folded_ += elements) > most_folded)
    too_large("the file's constants fold to more than 2^26 elements");
}

at::Tensor Builder::transposed(const at::Tensor& matrix) {
  at::Tensor& result = transposed_[matrix.unsafeGetTensorImpl()];
  if (!result.defined()) {
    // Once per matrix, so not counted as folded: it can at most double what is there.
    kept_.push_back(matrix);
    result = matrix.t().contiguous();
  }
  return result;
}

c10::IValue Builder::constant_of(const Arg& arg) {
  if (const auto* value = std::get_if<Val>(&arg.data_))
    return value->present() ? c10::IValue(value->constant) : c10::IValue();
  if (const auto* list = std::get_if<std::vector<Val>>(&arg.data_)) {
    c10::List<at::Tensor> tensors;
    for (const Val& item : *list) tensors.push_back(item.constant);
    return tensors;
  }
  if (const auto* list = std::get_if<Arg::OptionalList>(&arg.data_)) {
    c10::impl::GenericList tensors(c10::OptionalType::ofTensor());
    for (const Val& item : list->items)
      tensors.push_back(item.present() ? c10::IValue(item.constant) : c10::IValue());
    return tensors;
  }
  return std::get<c10::IValue>(arg.data_);
}

jit::Value* Builder::argument(const Arg& arg) {
  if (const auto* value = std::get_if<Val>(&arg.data_))
    return value->present() ? use(*value) : graph_->insertConstant(c10::IValue());
  if (const auto* list = std::get_if<std::vector<Val>>(&arg.data_)) {
    std::vector<jit::Value*> items;
    for (const Val& item : *list) items.push_back(use(item));
    return graph_->insertNode(graph_->createList(c10::TensorType::get(), items))->output();
  }
  if (const auto* list = std::get_if<Arg::OptionalList>(&arg.data_)) {
    std::vector<jit::Value*> items;
    for (const Val& item : list->items)
      items.push_back(item.present() ? use(item) : graph_->insertConstant(c10::IValue()));
    return graph_
        ->insertNode(graph_->createList(c10::OptionalType::create(c10::TensorType::get()), items))
        ->output();
  }
  return graph_->insertConstant(std::get<c10::IValue>(arg.data_));
}

namespace {

// The values that a call of a built-in operator gives, one by one.
std::vector<jit::Value*> call(jit::Graph& graph, const char* op,
                              const std::vector<jit::NamedValue>& arguments,
                              const std::vector<jit::NamedValue>& named) {
  jit::Value* result = graph.insert(c10::Symbol::fromQualString(op), arguments, named);
  if (result->node()->kind() != c10::prim::TupleConstruct)
    return {result};
  jit::Node* tuple = result->node();
  std::vector<jit::Value*> results(tuple->inputs().begin(), tuple->inputs().end());
  tuple->destroy();
  return results;
}

}  // namespace

std::vector<Val> Builder::fold(const char* op, const Args& args, const std::vector<Result>& results,
                               std::int64_t work) {
  for (const Result& result : results) count_folded(count(result.sizes));
  if (work > most_folded_work || (folded_work_ += work) > most_folded_work)
    too_large("folding the file's constants takes too much arithmetic");
  const at::NoGradGuard no_grad;
  jit::Graph scratch;
  std::unordered_map<const jit::Value*, c10::IValue> computed;
  std::vector<jit::NamedValue> arguments, named;
  for (const Arg& arg : args) {
    c10::IValue constant = constant_of(arg);
    if (constant.isTensor() || (constant.isList() && !constant.isIntList())) {
      jit::Value* input = scratch.addInput()->setType(
          constant.isTensor() ? c10::TypePtr(c10::TensorType::get()) : constant.type());
      computed[input] = std::move(constant);
      arguments.emplace_back(input);
    } else if (arg.name_) {
      named.emplace_back(arg.name_, std::move(constant));
    } else {
      arguments.emplace_back(std::move(constant));
    }
  }
  const auto values = call(scratch, op, arguments, named);
  for (jit::Node* node : scratch.nodes()) {
    if (node->kind() == c10::prim::Constant) {
      computed[node->output()] = *jit::toIValue(node->output());
      continue;
    }
    jit::Stack stack;
    for (jit::Value* input : node->inputs()) stack.push_back(computed.at(input));
    node->getOperation()(stack);
    for (std::size_t i = 0; i < node->outputs().size(); ++i)
      computed[node->outputs()[i]] = std::move(stack.at(i));
  }
  std::vector<Val> folded;
  for (jit::Value* value : values) {
    at::Tensor tensor = computed.at(value).toTensor();
    // A small piece must not keep a large whole alive.
    if (tensor.storage().nbytes() > 2 * tensor.nbytes())
      tensor = tensor.clone(at::MemoryFormat::Contiguous);
    folded.emplace_back(tensor);
  }
  return folded;
}

std::vector<Val> Builder::emit_several(const char* op, const Args& args,
                                       std::vector<Result> results, std::int64_t work) {
  if (std::all_of(args.begin(), args.end(), [](const Arg& arg) { return arg.is_constant(); }))
    return fold(op, args, results, work);
  for (std::size_t i = 0; i < results.size(); ++i) count_value(results[i].sizes, i == 0 ? work : 0);
  std::vector<jit::NamedValue> arguments, named;
  for (const Arg& arg : args) {
    if (arg.name_)
      named.emplace_back(arg.name_, argument(arg));
    else
      arguments.emplace_back(argument(arg));
  }
  const auto nodes = call(*graph_, op, arguments, named);
  TORCH_CHECK(nodes.size() >= results.size(), op, " gives too few results");
  std::vector<Val> values;
  for (std::size_t i = 0; i < results.size(); ++i) {
    Val value;
    value.kind = Val::Kind::computed;
    value.node = nodes[i];
    value.dtype = results[i].dtype;
    value.sizes = std::move(results[i].sizes);
    sizes_[value.node] = value.sizes;
    values.push_back(std::move(value));
  }
  return values;
}

Val Builder::before_reshape(const Val& x) const {
  Val origin = x;
  while (origin.kind == Val::Kind::computed &&
         origin.node->node()->kind() == c10::Symbol::fromQualString("aten::reshape")) {
    const auto known = sizes_.find(origin.node->node()->input(0));
    if (known == sizes_.end())
      break;
    origin.node = origin.node->node()->input(0);
    origin.sizes = known->second;
  }
  return origin;
}

Val Builder::emit(const char* op, const Args& args, at::ScalarType dtype, Sizes sizes,
                  std::int64_t work) {
  return emit_several(op, args, {{dtype, std::move(sizes)}}, work).at(0);
}

}  // namespace cleave::inline v0::model::onnx_in
