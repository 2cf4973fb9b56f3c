#include "lib/model/plan_fused.hpp"

#include <cleave/core/hash.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace cleave::inline v0::model {
namespace {

using Kind = dnn::Activation::Kind;

// Operators that take images in any layout and give the same values for each; where they make an
// image of the same sizes, it lies as the one they were given.
const std::unordered_set<std::string_view>& agnostic() {
  static const std::unordered_set<std::string_view> names = {
      "aten::relu",
      "aten::relu6",
      "aten::hardtanh",
      "aten::clamp",
      "aten::clamp_min",
      "aten::clamp_max",
      "aten::sigmoid",
      "aten::tanh",
      "aten::silu",
      "aten::hardswish",
      "aten::hardsigmoid",
      "aten::gelu",
      "aten::leaky_relu",
      "aten::elu",
      "aten::celu",
      "aten::selu",
      "aten::mish",
      "aten::softplus",
      "aten::prelu",
      "aten::add",
      "aten::sub",
      "aten::rsub",
      "aten::mul",
      "aten::div",
      "aten::pow",
      "aten::exp",
      "aten::sqrt",
      "aten::rsqrt",
      "aten::abs",
      "aten::neg",
      "aten::maximum",
      "aten::minimum",
      "aten::cat",
      "aten::stack",
      "aten::batch_norm",
      "aten::dropout",
      "aten::feature_dropout",
      "aten::mean",
      "aten::sum",
      "aten::amax",
      "aten::adaptive_avg_pool2d",
      "aten::adaptive_max_pool2d",
      "aten::avg_pool2d",
      "aten::max_pool2d",
      "aten::upsample_nearest2d",
      "aten::upsample_bilinear2d",
      "aten::upsample_bicubic2d",
      "aten::constant_pad_nd",
      "aten::pad",
      "aten::flatten",
      "aten::reshape",
      "aten::permute",
      "aten::transpose",
      "aten::slice",
      "aten::select",
      "aten::narrow",
      "aten::chunk",
      "aten::split",
      "aten::split_with_sizes",
      "aten::unsqueeze",
      "aten::squeeze",
      "aten::contiguous",
      "aten::size",
      "aten::dim",
      "aten::softmax",
      "aten::log_softmax",
      "aten::layer_norm",
      "aten::group_norm",
      "aten::linear",
      "aten::matmul",
      "aten::to",
      "aten::argmax",
      "prim::ListConstruct",
      "prim::TupleConstruct",
      "prim::ListUnpack",
      "prim::TupleUnpack",
  };
  return names;
}

// What depends on how a tensor lies, not only on what it holds.
bool asks_for_strides(std::string_view op) {
  constexpr std::array names = {"aten::as_strided", "aten::stride",         "aten::is_contiguous",
                                "aten::set_",       "aten::storage_offset", "aten::data_ptr"};
  return std::find(names.begin(), names.end(), op) != names.end();
}

bool asks_for_strides(const torch::jit::Node* node) {
  if (asks_for_strides(std::string_view(node->kind().toQualString())))
    return true;
  for (const torch::jit::Block* block : node->blocks()) {
    for (const torch::jit::Node* inner : block->nodes()) {
      if (asks_for_strides(inner))
        return true;
    }
  }
  return false;
}

class Fuser {
 public:
  Fuser(const Plan& plan, const Analysis& analysis) : plan_(plan), analysis_(analysis) {
    uses_.resize(plan.slots.size());
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
      for (const Source& source : plan.steps[i].arguments) {
        if (!source.constant)
          uses_[source.index].push_back(i);
      }
      for (const std::uint32_t slot : plan.steps[i].results) {
        if (slot != no_slot)
          producer_[slot] = i;
      }
    }
    for (const Source& output : plan.outputs) {
      if (!output.constant)
        uses_[output.index].push_back(static_cast<std::uint32_t>(plan.steps.size()));
    }
  }

  Draft run() {
    free_ = std::none_of(plan_.steps.begin(), plan_.steps.end(), [](const PlacedStep& step) {
      return !step.written.empty() || asks_for_strides(step.op) ||
             (step.node && asks_for_strides(step.node));
    });
    group_of_.assign(plan_.steps.size(), none);
    if (free_) {
      for (std::uint32_t i = 0; i < plan_.steps.size(); ++i) {
        if (group_of_[i] == none)
          start(i);
      }
    }
    return emit();
  }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  // A run of operators that becomes one step, placed where the last of them was.
  struct Group {
    std::vector<std::uint32_t> members;
    std::vector<std::uint32_t> inputs;  // slots: the source, and the summand if there is one
    std::uint32_t result = 0;
    std::string op;
    std::uint32_t weights = 0;  // constant
    at::Tensor weight_tensor, bias;
    std::optional<dnn::ConvolutionForm> convolution;
    std::optional<dnn::LinearForm> linear;
    std::optional<PoolingShape> pooling;
    bool product = false, softmax = false;
  };

  // Arguments of a step, as far as they are constants.
  class Arguments {
   public:
    Arguments(const Plan& plan, const PlacedStep& step) : plan_(plan), step_(step) {}
    [[nodiscard]] const c10::IValue* constant(std::size_t i) const {
      if (i >= step_.arguments.size() || !step_.arguments[i].constant)
        return nullptr;
      return &plan_.constants[step_.arguments[i].index];
    }
    [[nodiscard]] bool is_slot(std::size_t i) const {
      return i < step_.arguments.size() && !step_.arguments[i].constant;
    }
    [[nodiscard]] std::optional<at::Tensor> weights(std::size_t i, std::int64_t dimensions) const {
      const c10::IValue* value = constant(i);
      if (!value || !value->isTensor())
        return std::nullopt;
      const at::Tensor& tensor = value->toTensor();
      if (!tensor.defined() || tensor.dim() != dimensions || tensor.scalar_type() != at::kFloat ||
          tensor.layout() != at::kStrided || tensor.numel() == 0)
        return std::nullopt;
      return tensor;
    }
    /// Undefined for None.
    [[nodiscard]] std::optional<at::Tensor> bias(std::size_t i, std::int64_t size) const {
      const c10::IValue* value = constant(i);
      if (!value)
        return std::nullopt;
      if (value->isNone())
        return at::Tensor();
      auto tensor = weights(i, 1);
      if (!tensor || tensor->size(0) != size)
        return std::nullopt;
      return tensor->contiguous();
    }
    [[nodiscard]] std::optional<std::array<std::int64_t, 2>> pair(std::size_t i) const {
      const c10::IValue* value = constant(i);
      if (!value || !value->isIntList())
        return std::nullopt;
      const auto list = value->toIntVector();
      if (list.size() == 1)
        return std::array{list[0], list[0]};
      if (list.size() == 2)
        return std::array{list[0], list[1]};
      return std::nullopt;
    }
    [[nodiscard]] std::optional<std::int64_t> integer(std::size_t i) const {
      const c10::IValue* value = constant(i);
      return value && value->isInt() ? std::optional(value->toInt()) : std::nullopt;
    }
    [[nodiscard]] std::optional<bool> flag(std::size_t i) const {
      const c10::IValue* value = constant(i);
      return value && value->isBool() ? std::optional(value->toBool()) : std::nullopt;
    }
    [[nodiscard]] std::optional<double> number(std::size_t i) const {
      const c10::IValue* value = constant(i);
      if (!value || !(value->isDouble() || value->isInt()))
        return std::nullopt;
      return value->toScalar().toDouble();
    }

   private:
    const Plan& plan_;
    const PlacedStep& step_;
  };

  [[nodiscard]] Arguments arguments(std::uint32_t step) const { return {plan_, plan_.steps[step]}; }
  [[nodiscard]] std::string_view op(std::uint32_t step) const { return plan_.steps[step].op; }
  [[nodiscard]] std::uint32_t argument_slot(std::uint32_t step, std::size_t i) const {
    return plan_.steps[step].arguments[i].index;
  }

  void start(std::uint32_t i) {
    Group group;
    if (plan_.steps[i].results.size() != 1 || plan_.steps[i].results[0] == no_slot ||
        !arguments(i).is_slot(0))
      return;
    if (!(convolution(i, group) || linear(i, group) || pooling(i, group) || product(i, group) ||
          softmax(i, group)))
      return;
    group.members = {i};
    group.inputs = {argument_slot(i, 0)};
    if (group.product)
      group.inputs.push_back(argument_slot(i, 1));
    group.result = plan_.steps[i].results[0];
    group.op = plan_.steps[i].op;
    if (group.op == "aten::_convolution" || group.op == "aten::convolution")
      group.op = "aten::conv2d";
    if (group.convolution || group.linear)
      extend(group);
    for (const std::uint32_t member : group.members) group_of_[member] = groups_.size();
    groups_.push_back(std::move(group));
  }

  bool convolution(std::uint32_t i, Group& group) const {
    const Arguments given = arguments(i);
    const bool general = op(i) == "aten::_convolution" || op(i) == "aten::convolution";
    if (!general && op(i) != "aten::conv2d")
      return false;
    if (general) {
      const auto transposed = given.flag(6);
      if (!transposed || *transposed)
        return false;
    }
    const auto weights = given.weights(1, 4);
    const auto stride = given.pair(3), padding = given.pair(4), dilation = given.pair(5);
    const auto groups = given.integer(general ? 8 : 6);
    if (!weights || !stride || !padding || !dilation || !groups || *groups < 1)
      return false;
    const auto bias = given.bias(2, weights->size(0));
    if (!bias || weights->size(0) % *groups != 0)
      return false;
    group.convolution =
        dnn::ConvolutionForm{weights->sizes().vec(), *stride, *padding,         *dilation, *groups,
                             bias->defined(),        false,   dnn::Activation()};
    group.weights = plan_.steps[i].arguments[1].index;
    group.weight_tensor = *weights;
    group.bias = *bias;
    return true;
  }

  bool linear(std::uint32_t i, Group& group) const {
    if (op(i) != "aten::linear")
      return false;
    const Arguments given = arguments(i);
    const auto weights = given.weights(1, 2);
    if (!weights)
      return false;
    const auto bias = given.bias(2, weights->size(0));
    if (!bias)
      return false;
    group.linear = dnn::LinearForm{weights->size(0), weights->size(1), bias->defined(), false, {}};
    group.weights = plan_.steps[i].arguments[1].index;
    group.weight_tensor = *weights;
    group.bias = *bias;
    return true;
  }

  // Whether a step gives the mean of each channel of images.
  bool global_mean(std::uint32_t i) const {
    const Arguments given = arguments(i);
    if (op(i) == "aten::adaptive_avg_pool2d")
      return given.pair(1) == std::array<std::int64_t, 2>{1, 1};
    const c10::IValue* over = given.constant(1);
    const c10::IValue* dtype = given.constant(3);
    if (op(i) != "aten::mean" || !over || !over->isIntList() || given.flag(2) != true || !dtype ||
        !dtype->isNone())
      return false;
    std::vector<std::int64_t> dimensions = over->toIntVector();
    for (std::int64_t& d : dimensions) d += d < 0 ? 4 : 0;
    std::sort(dimensions.begin(), dimensions.end());
    return dimensions == std::vector<std::int64_t>{2, 3};
  }

  bool pooling(std::uint32_t i, Group& group) const {
    const Arguments given = arguments(i);
    PoolingShape shape;
    if (global_mean(i)) {
      shape.global = true;
      shape.form.maximum = false;
      group.pooling = shape;
      return true;
    }
    const bool maximum = op(i) == "aten::max_pool2d";
    if (!maximum && op(i) != "aten::avg_pool2d")
      return false;
    const auto kernel = given.pair(1), padding = given.pair(3);
    auto stride = given.pair(2);
    if (const c10::IValue* value = given.constant(2);
        value && value->isIntList() && value->toIntVector().empty())
      stride = kernel;  // the default
    if (!kernel || !stride || !padding)
      return false;
    shape.form.kernel = *kernel;
    shape.form.stride = *stride;
    shape.form.padding = *padding;
    shape.form.maximum = maximum;
    const auto ceil = given.flag(maximum ? 5 : 4);
    if (!ceil)
      return false;
    shape.ceil = *ceil;
    if (maximum) {
      const auto dilation = given.pair(4);
      if (!dilation)
        return false;
      shape.form.dilation = *dilation;
    } else {
      const auto count = given.flag(5);
      const c10::IValue* divisor = given.constant(6);
      // Of a mean's last window that reaches beyond the padding the libraries count differently.
      if (!count || !divisor || !divisor->isNone() || *ceil)
        return false;
      shape.form.count_padding = *count;
    }
    group.pooling = shape;
    return true;
  }

  bool product(std::uint32_t i, Group& group) const {
    group.product = (op(i) == "aten::matmul" || op(i) == "aten::bmm") && arguments(i).is_slot(1) &&
                    argument_slot(i, 0) != argument_slot(i, 1);
    return group.product;
  }

  bool softmax(std::uint32_t i, Group& group) const {
    if (op(i) != "aten::softmax")
      return false;
    const Arguments given = arguments(i);
    const c10::IValue* dtype = given.constant(2);
    // The last, by whatever number of dimensions the next input leads to.
    group.softmax = given.integer(1) == -1 && dtype && dtype->isNone();
    return group.softmax;
  }

  std::optional<dnn::Activation> activation(std::uint32_t i) const {
    const Arguments given = arguments(i);
    const std::string_view name = op(i);
    const auto with = [](Kind kind, double alpha = 0, double beta = 0) {
      return dnn::Activation{kind, static_cast<float>(alpha), static_cast<float>(beta)};
    };
    if (name == "aten::relu")
      return with(Kind::relu);
    if (name == "aten::relu6")
      return with(Kind::clip, 0, 6);
    if (name == "aten::hardtanh" || name == "aten::clamp") {
      const auto low = given.number(1), high = given.number(2);
      if (low && high)
        return with(Kind::clip, *low, *high);
      const c10::IValue* limit = given.constant(2);
      if (low && *low == 0 && limit && limit->isNone())
        return with(Kind::relu);
    }
    if (name == "aten::sigmoid")
      return with(Kind::sigmoid);
    if (name == "aten::tanh")
      return with(Kind::tanh);
    if (name == "aten::silu")
      return with(Kind::silu);
    if (name == "aten::hardswish")
      return with(Kind::hardswish);
    if (name == "aten::gelu") {
      const c10::IValue* way = given.constant(1);
      if (!way || !way->isString() || way->toStringRef() == "none")
        return with(Kind::gelu);
      if (way->toStringRef() == "tanh")
        return with(Kind::gelu_tanh);
    }
    if (name == "aten::leaky_relu") {
      if (const auto slope = given.number(1))
        return with(Kind::leaky_relu, *slope);
    }
    if (name == "aten::elu") {
      const auto alpha = given.number(1), scale = given.number(2), inner = given.number(3);
      if (alpha && scale == 1.0 && inner == 1.0)
        return with(Kind::elu, *alpha);
    }
    return std::nullopt;
  }

  // Takes what follows into the group: a sum, then an activation.
  void extend(Group& group) const {
    bool summed = false;
    while (true) {
      const auto& users = uses_[group.result];
      if (users.size() != 1 || users[0] >= plan_.steps.size() || group_of_[users[0]] != none)
        return;
      const std::uint32_t next = users[0];
      const PlacedStep& step = plan_.steps[next];
      if (step.results.size() != 1 || step.results[0] == no_slot)
        return;
      if (!summed && step.op == "aten::add" && sum(group, next)) {
        summed = true;
        (group.convolution ? group.convolution->sum : group.linear->sum) = true;
      } else if (const auto found = activation(next);
                 found && argument_slot(next, 0) == group.result && !step.arguments[0].constant) {
        (group.convolution ? group.convolution->activation : group.linear->activation) = *found;
        take(group, next);
        return;
      } else {
        return;
      }
      take(group, next);
    }
  }

  void take(Group& group, std::uint32_t next) const {
    group.members.push_back(next);
    group.result = plan_.steps[next].results[0];
    const std::string_view name = plan_.steps[next].op;
    group.op += "+" + std::string(name.substr(name.rfind(':') + 1));
  }

  // Whether `next` adds another tensor of the same sizes to the group's result.
  bool sum(Group& group, std::uint32_t next) const {
    const auto scale = arguments(next).number(2);
    if (scale != 1.0 || !arguments(next).is_slot(0) || !arguments(next).is_slot(1))
      return false;
    const std::uint32_t a = argument_slot(next, 0), b = argument_slot(next, 1);
    const std::uint32_t other = a == group.result ? b : a;
    if (a == b || !plan_.slots[other].type->isSubtypeOf(*c10::TensorType::get()))
      return false;
    const auto made = producer_.find(other);
    // What is added must have been the example's sizes; others are dealt with when they occur.
    const auto& sizes = analysis_.steps[group.members.back()].output_sizes;
    if (made == producer_.end() || analysis_.steps[made->second].output_sizes != sizes ||
        plan_.steps[made->second].results.size() != 1)
      return false;
    // Of two that could take the sum in, the later one does: the earlier runs where it stood.
    const std::uint32_t rival = made->second;
    if (rival > group.members.back() && uses_[other].size() == 1) {
      Group probe;
      if (group_of_[rival] == none && arguments(rival).is_slot(0) &&
          (convolution(rival, probe) || linear(rival, probe)))
        return false;
    }
    group.inputs.push_back(other);
    return true;
  }

  Draft emit() {
    Draft draft;
    Plan& plan = draft.plan;
    plan = plan_;
    plan.steps.clear();
    for (std::uint32_t i = 0; i < plan_.steps.size(); ++i) {
      if (group_of_[i] == none) {
        plan.steps.push_back(plan_.steps[i]);
        draft.blueprints.push_back(nullptr);
      } else if (groups_[group_of_[i]].members.back() == i) {
        plan.steps.push_back(placed(groups_[group_of_[i]]));
        draft.blueprints.push_back(blueprint(groups_[group_of_[i]]));
      }
    }
    number(plan);
    find_flexible(draft);
    return draft;
  }

  PlacedStep placed(const Group& group) const {
    PlacedStep step;
    step.layer = plan_.steps[group.members.front()].layer;
    step.op = group.op;
    for (const std::uint32_t slot : group.inputs) step.arguments.push_back({slot, false, false});
    step.results = {group.result};
    std::string identity = "fused";
    for (const std::uint32_t member : group.members)
      identity += ' ' + std::to_string(plan_.steps[member].hash);
    step.hash = core::hash_text(identity);
    return step;
  }

  std::unique_ptr<Blueprint> blueprint(Group& group) const {
    Parts parts(plan_, group.members, group.inputs, group.result);
    if (group.convolution)
      return convolution_blueprint(std::move(*group.convolution), std::move(group.weight_tensor),
                                   std::move(group.bias), std::move(parts), group.weights);
    if (group.linear)
      return linear_blueprint(*group.linear, std::move(group.weight_tensor), std::move(group.bias),
                              std::move(parts), group.weights);
    if (group.product)
      return product_blueprint(std::move(parts));
    if (group.softmax)
      return softmax_blueprint(std::move(parts));
    return pooling_blueprint(*group.pooling, std::move(parts));
  }

  // Where slots are defined and used last, by the new steps.
  static void number(Plan& plan) {
    for (Slot& slot : plan.slots) slot.last_use = -1;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      for (Source& source : plan.steps[i].arguments) {
        source.last_use = false;
        if (!source.constant)
          plan.slots[source.index].last_use = static_cast<std::int64_t>(i);
      }
      for (const std::uint32_t slot : plan.steps[i].results) {
        if (slot != no_slot)
          plan.slots[slot].defined = static_cast<std::int64_t>(i);
      }
    }
    for (const Source& output : plan.outputs) {
      if (!output.constant)
        plan.slots[output.index].last_use = static_cast<std::int64_t>(plan.steps.size());
    }
    mark_last_uses(plan);
  }

  // Finds what may lie otherwise than in the plan of ATen calls: what kernels make, and all that is
  // made of it. Operators on images that do not mind get a blueprint that says so.
  void find_flexible(Draft& draft) const {
    Plan& plan = draft.plan;
    std::vector<bool> flexible(plan.slots.size(), false);
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
      PlacedStep& step = plan.steps[i];
      std::vector<bool> arguments;
      bool any = false, image = false;
      for (const Source& source : step.arguments) {
        arguments.push_back(!source.constant && flexible[source.index]);
        any = any || arguments.back();
        image = image || (arguments.back() && is_image(source.index));
      }
      const bool kernel = draft.blueprints[i] && draft.blueprints[i]->makes_images();
      const bool indifferent = agnostic().count(step.op) != 0;
      if (!draft.blueprints[i] && image && indifferent)
        draft.blueprints[i] = agnostic_blueprint(step.op, step.step, step.arguments.size());
      for (const std::uint32_t slot : step.results) {
        if (slot != no_slot)
          flexible[slot] = kernel || (any && !draft.blueprints[i]) ||
                           (any && draft.blueprints[i] && draft.blueprints[i]->makes_images());
      }
      // Tensors that are no images keep whatever strides they have where nobody minds.
      if (!draft.blueprints[i] && indifferent)
        arguments.assign(arguments.size(), false);
      draft.flexible.push_back(std::move(arguments));
    }
  }

  // By the example: whether the (first) tensor in a slot has four dimensions.
  [[nodiscard]] bool is_image(std::uint32_t slot) const {
    const auto made = producer_.find(slot);
    constexpr std::size_t image_dimensions = 4;
    return made != producer_.end() &&
           analysis_.steps[made->second].output_sizes.size() == image_dimensions;
  }

  const Plan& plan_;
  const Analysis& analysis_;
  bool free_ = false;
  std::vector<std::vector<std::uint32_t>> uses_;  // by slot: steps; steps.size() for an output
  std::unordered_map<std::uint32_t, std::uint32_t> producer_;
  std::vector<std::size_t> group_of_;
  std::vector<Group> groups_;
};

}  // namespace

Draft fuse(const Plan& plan, const Analysis& analysis) {
  return Fuser(plan, analysis).run();
}

}  // namespace cleave::inline v0::model
