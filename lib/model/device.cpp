#include "lib/model/device.hpp"

#include "lib/model/containers.hpp"
#include "lib/model/guard.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/jit/ir/constants.h>

#include <algorithm>

namespace cleave::inline v0::model {

namespace jit = torch::jit;
using core::Errc;
using core::fail;
using core::Result;

namespace {

// Offsets stay multiples of any element's size.
constexpr std::size_t alignment = 64;

// A tensor whose bytes are its storage's.
bool is_plain(const at::Tensor& tensor) {
  return tensor.defined() && tensor.layout() == c10::kStrided && tensor.has_storage() &&
         !tensor.is_quantized();
}

bool is_tensor_like(const c10::TypePtr& type) {
  if (const auto optional = type->cast<c10::OptionalType>())
    return is_tensor_like(optional->getElementType());
  if (const auto list = type->cast<c10::ListType>())
    return is_tensor_like(list->getElementType());
  return type->kind() == c10::TypeKind::TensorType;
}

bool is_device(const c10::TypePtr& type) {
  if (const auto optional = type->cast<c10::OptionalType>())
    return is_device(optional->getElementType());
  return type->kind() == c10::TypeKind::DeviceObjType;
}

class Rewriter {
 public:
  explicit Rewriter(jit::Graph& graph, c10::Device device) : graph_(graph), device_(device) {}

  void run() {
    gather(graph_.block());
    // All together, so that a storage that two constants view is moved once.
    std::vector<c10::IValue> values;
    for (jit::Node* node : constants_) values.push_back(*jit::toIValue(node->output()));
    Mover(device_).move(values);
    for (std::size_t i = 0; i < constants_.size(); ++i) replace(constants_[i], values[i]);
    for (jit::Node* node : nodes_) place(node);
  }

 private:
  void gather(jit::Block* block) {
    for (jit::Node* node : block->nodes()) {
      if (node->kind() != c10::prim::Constant) {
        nodes_.push_back(node);
      } else if (const auto value = jit::toIValue(node->output());
                 value && (is_tensor_like(node->output()->type()) || value->isDevice() ||
                           value->isTensor() || value->isTuple() || value->isGenericDict())) {
        constants_.push_back(node);
      }
      for (jit::Block* inner : node->blocks()) gather(inner);
    }
  }

  void replace(jit::Node* node, const c10::IValue& value) {
    const jit::WithInsertPoint here(node);
    jit::Value* fresh = graph_.insertConstant(value);
    fresh->setType(node->output()->type());
    node->output()->replaceAllUsesWith(fresh);
    node->destroy();
  }

  // A factory function without a device makes its tensor on the CPU; with a tensor among its
  // arguments (zeros_like, new_zeros, to) it takes that tensor's.
  void place(jit::Node* node) {
    if (node->kind() == c10::Symbol::fromQualString("aten::cpu") ||
        node->kind() == c10::Symbol::fromQualString("aten::cuda")) {
      jit::Node* same = node->replaceWithNewSymbol(c10::Symbol::fromQualString("aten::alias"));
      same->setScope(node->scope());
      node->destroy();
      return;
    }
    const auto* schema = node->maybeSchema();
    if (!schema || schema->arguments().size() != node->inputs().size())
      return;
    const auto& arguments = schema->arguments();
    if (std::any_of(arguments.begin(), arguments.end(),
                    [](const auto& argument) { return is_tensor_like(argument.type()); }))
      return;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      if (!is_device(arguments[i].type()))
        continue;
      const auto value = jit::toIValue(node->inputs()[i]);
      if (!value || !value->isNone())
        continue;
      const jit::WithInsertPoint here(node);
      node->replaceInput(i, graph_.insertConstant(device_));
    }
  }

  jit::Graph& graph_;
  c10::Device device_;
  std::vector<jit::Node*> constants_, nodes_;
};

}  // namespace

Result<c10::Device> find_device(const std::string& name) {
  const auto parsed = guarded(Errc::invalid_argument, name, [&]() -> Result<c10::Device> {
    c10::Device device(name);
    if (!device.is_cpu() && !device.has_index())
      device.set_index(0);
    return device;
  });
  if (!parsed)
    return fail(Errc::invalid_argument, "there is no such kind of device", name,
                "say cpu, cuda or cuda:1");
  if (parsed->is_cpu())
    return *parsed;
  const std::string kind = c10::DeviceTypeName(parsed->type(), /*lower_case=*/true);
  if (parsed->type() == c10::DeviceType::Meta || !c10::impl::hasDeviceGuardImpl(parsed->type()))
    return fail(Errc::unsupported, "this libtorch was built without " + kind, name,
                "build cleave against a libtorch that has it, or use the CPU");
  const int count = c10::impl::VirtualGuardImpl(parsed->type()).deviceCount();
  if (parsed->index() >= count)
    return fail(Errc::unsupported,
                count == 0 ? "this machine has no " + kind + " device that libtorch can use"
                           : "there are " + std::to_string(count) + " " + kind + " devices, from 0",
                name, "see cleave doctor");
  return *parsed;
}

Result<Plan> on_device(Plan plan, c10::Device device) {
  return guarded(Errc::unsupported, device.str(), [&]() -> Result<Plan> {
    const at::NoGradGuard no_grad;
    Rewriter(*plan.graph, device).run();
    auto moved = plan_aten(plan.graph);
    if (!moved)
      return fail(moved);
    if (moved->steps.size() != plan.steps.size() || moved->slots.size() != plan.slots.size())
      return fail(Errc::internal, "the plan changed when it was moved", device.str());
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      moved->steps[i].hash = plan.steps[i].hash;
      moved->steps[i].op = plan.steps[i].op;
      moved->steps[i].layer = plan.steps[i].layer;
    }
    moved->unit = plan.unit;
    moved->input_names = plan.input_names;
    moved->device = device;
    return moved;
  });
}

void synchronise(c10::Device device) {
  if (device.is_cpu() || device.type() == c10::DeviceType::Meta)
    return;
  const c10::impl::VirtualGuardImpl impl(device.type());
  impl.synchronizeStream(impl.getStream(device));
}

void Mover::move(std::vector<c10::IValue>& values) {
  for (const c10::IValue& value : values) look_at(value);
  for (c10::IValue& value : values) value = moved(value);
  regions_.clear();
}

void Mover::look_at(const c10::IValue& value) {
  if (value.isTensor()) {
    const at::Tensor& tensor = value.toTensor();
    if (!is_plain(tensor))
      return;
    std::size_t extent = 1;
    for (std::int64_t d = 0; d < tensor.dim(); ++d)
      extent = tensor.size(d) == 0 || extent == 0
                   ? 0
                   : extent + static_cast<std::size_t>((tensor.size(d) - 1) * tensor.stride(d));
    const std::size_t begin =
        static_cast<std::size_t>(tensor.storage_offset()) * tensor.element_size();
    const auto [known, fresh] = regions_.try_emplace(tensor.storage().unsafeGetStorageImpl());
    Region& region = known->second;
    if (fresh) {
      region.source = tensor.storage();
      region.begin = begin;
    }
    region.begin = std::min(region.begin, begin / alignment * alignment);
    region.end = std::max(region.end, begin + extent * tensor.element_size());
  } else if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) look_at(list.get(i));
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) look_at(item);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      look_at(entry.key());
      look_at(entry.value());
    }
  }
}

at::Tensor Mover::moved(const at::Tensor& tensor) {
  if (!is_plain(tensor))
    return tensor.defined() ? tensor.to(to_) : tensor;
  // A lazily conjugated or negated view is not its bytes.
  if (tensor.is_conj() || tensor.is_neg())
    return tensor.resolve_conj().resolve_neg().to(to_);
  Region& region = regions_.at(tensor.storage().unsafeGetStorageImpl());
  if (!region.moved) {
    const auto size = static_cast<std::int64_t>(region.end - std::min(region.begin, region.end));
    at::Tensor bytes = at::empty({0}, at::TensorOptions(at::kByte).device(tensor.device()));
    bytes.set_(region.source, static_cast<std::int64_t>(region.begin), {size}, {1});
    region.moved =
        bytes.to(at::TensorOptions(to_), /*non_blocking=*/false, /*copy=*/true).storage();
  }
  at::Tensor result = at::empty({0}, tensor.options().device(to_));
  result.set_(
      region.moved,
      tensor.storage_offset() - static_cast<std::int64_t>(region.begin / tensor.element_size()),
      tensor.sizes(), tensor.strides());
  return result;
}

c10::IValue Mover::moved(const c10::IValue& value) {
  return map_leaves(value, [this](const c10::IValue& leaf) -> c10::IValue {
    if (leaf.isTensor())
      return moved(leaf.toTensor());
    return leaf.isDevice() ? c10::IValue(to_) : leaf;
  });
}

}  // namespace cleave::inline v0::model
