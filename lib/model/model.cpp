#include "lib/model/analysis.hpp"
#include "lib/model/checked_file.hpp"
#include "lib/model/convert.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/lower.hpp"
#include "lib/model/plan_cache.hpp"
#include "lib/model/plan_fused.hpp"
#include "lib/model/plan_model.hpp"

#include <cleave/core/file.hpp>
#include <cleave/model/torch.hpp>

#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <sstream>
#include <tuple>
#include <unordered_set>

namespace cleave::inline v0::model {

namespace jit = torch::jit;
using core::Errc;
using core::fail;
using core::Result;

namespace {

constexpr const char* inputs_file = "cleave_inputs.txt";

Result<jit::Module> read_module(const std::filesystem::path& path, jit::ExtraFilesMap& extra) {
  if (auto checked = check_model_file(path); !checked)
    return fail(checked);
  return guarded(Errc::corrupt, path, [&]() -> Result<jit::Module> {
    return jit::load(path.string(), c10::Device(c10::DeviceType::CPU), extra);
  });
}

Result<std::vector<InputSpec>> parse_inputs(const std::string& text) {
  std::vector<InputSpec> inputs;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty())
      continue;
    auto input = parse_input_spec(line);
    if (!input)
      return fail(input);
    inputs.push_back(std::move(*input));
  }
  return inputs;
}

std::int64_t count_parameters(const jit::Module& module) {
  std::int64_t count = 0;
  std::unordered_set<const void*> seen;
  for (const at::Tensor& parameter : module.parameters()) {
    if (seen.insert(parameter.storage().unsafeGetStorageImpl()).second)
      count += parameter.numel();
  }
  return count;
}

// Names the inputs, and refuses those that cleave cannot make or describe.
Result<std::vector<InputSpec>> fit_inputs(const Plan& plan, std::vector<InputSpec> inputs,
                                          const std::string& where) {
  const std::size_t needed = plan.inputs.size();
  if (inputs.empty() && needed > 0)
    return fail(Errc::invalid_argument,
                "the model does not tell the shape of its " + std::to_string(needed) +
                    (needed == 1 ? " input" : " inputs"),
                where, "give it for each, as in --input 1x3x224x224");
  if (inputs.size() != needed)
    return fail(Errc::invalid_argument,
                "the model takes " + std::to_string(needed) + (needed == 1 ? " input" : " inputs") +
                    "; the shapes of " + std::to_string(inputs.size()) + " are given",
                where);
  for (std::size_t i = 0; i < needed; ++i) {
    const c10::TypePtr& type = plan.slots[plan.inputs[i]].type;
    if (!c10::TensorType::get()->isSubtypeOf(*type))
      return fail(Errc::unsupported,
                  "input '" + plan.input_names[i] + "' is a " + type->str() +
                      "; only tensors can be a network's inputs",
                  where, "wrap the model in one that takes tensors only");
    inputs[i].name = plan.input_names[i];
  }
  return inputs;
}

std::vector<c10::IValue> example(const std::vector<InputSpec>& inputs) {
  ToTorch converter;
  std::vector<c10::IValue> values;
  for (const core::Value& value : make_example_inputs(inputs, 0))
    values.emplace_back(converter.tensor(*value.tensor()));
  return values;
}

Result<Analysis> try_out(const Plan& plan, const std::vector<InputSpec>& inputs) {
  return analyse(plan, example(inputs));
}

bool writes_in_place(jit::Block* block) {
  for (jit::Node* node : block->nodes()) {
    const auto* schema = node->maybeSchema();
    if (schema && schema->is_mutable())
      return true;
    for (jit::Block* inner : node->blocks()) {
      if (writes_in_place(inner))
        return true;
    }
  }
  return false;
}

void collect_tensors(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isList()) {
    const auto list = value.toList();
    for (std::size_t i = 0; i < list.size(); ++i) collect_tensors(list.get(i), tensors);
  } else if (value.isTuple()) {
    for (const auto& item : value.toTupleRef().elements()) collect_tensors(item, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) collect_tensors(entry.value(), tensors);
  }
}

// libtorch's passes believe what operators declare about the memory they share, and some declare
// too little (dropout in evaluation, broadcast_tensors, einsum): where something is then changed in
// place, even the uncut plan may compute something else than the module does, line by line.
// Whether the tensors are equal but for rounding.
bool alike(const std::vector<at::Tensor>& expected, const std::vector<at::Tensor>& given) {
  bool same = expected.size() == given.size();
  for (std::size_t i = 0; same && i < given.size(); ++i) {
    const at::Tensor a = expected[i].to(at::kDouble), b = given[i].to(at::kDouble);
    same = a.sizes() == b.sizes() &&
           (a.numel() == 0 || at::allclose(a, b, 1e-3, 1e-3 * a.abs().max().item<double>(), true));
  }
  return same;
}

Result<void> check_against(const jit::Module& module, const Analysis& analysis,
                           const std::vector<InputSpec>& inputs, const std::string& where) {
  const auto plain = module.get_method("forward").graph()->copy();
  jit::Inline(*plain);
  if (!writes_in_place(plain->block()))
    return {};
  const at::NoGradGuard no_grad;
  const jit::GraphOptimizerEnabledGuard line_by_line(false);
  jit::Module copy = module.clone(/*inplace=*/true);
  copy.eval();
  ToTorch converter;
  std::vector<c10::IValue> arguments;
  for (const core::Value& value : make_example_inputs(inputs, 0))
    arguments.emplace_back(converter.tensor(*value.tensor()));
  std::vector<at::Tensor> expected, given;
  collect_tensors(copy.forward(std::move(arguments)), expected);
  for (const c10::IValue& output : analysis.outputs) collect_tensors(output, given);
  if (!alike(expected, given))
    return fail(Errc::unsupported,
                "the lowered network does not compute what the module does; it changes a tensor in "
                "place that another still uses",
                where, "replace in-place operators such as add_ by add");
  return {};
}

// The plan with kernels chosen for this machine, and what it shows when it runs.
Result<std::pair<Plan, Analysis>> fuse_and_check(Plan plan, Analysis analysis,
                                                 const std::vector<InputSpec>& inputs,
                                                 const LoadOptions& options) {
  Draft draft = fuse(plan, analysis);
  plan = Plan();
  Tuning tuning;
  tuning.structure = structure_hash(draft.plan);
  tuning.cache_folder = options.plan_cache ? *options.plan_cache : default_plan_cache();
  auto chosen = choose(std::move(draft), example(inputs), tuning);
  if (!chosen)
    return fail(chosen);
  auto again = try_out(*chosen, inputs);
  if (!again)
    return fail(again);
  std::vector<at::Tensor> expected, given;
  for (const c10::IValue& output : analysis.outputs) collect_tensors(output, expected);
  for (const c10::IValue& output : again->outputs) collect_tensors(output, given);
  if (!alike(expected, given))
    return fail(Errc::internal, "the fused network does not compute what its operators do", "",
                "load it unfused, and report this");
  return std::pair(*std::move(chosen), *std::move(again));
}

}  // namespace

Model::~Model() = default;

std::string torch_version() {
  return TORCH_VERSION;
}

Result<jit::Module> load_module(const std::filesystem::path& path) {
  jit::ExtraFilesMap extra;
  return read_module(path, extra);
}

Result<void> save_module(const jit::Module& module, const std::vector<InputSpec>& inputs,
                         const std::filesystem::path& path) {
  return guarded(Errc::internal, path, [&]() -> Result<void> {
    std::string lines;
    for (const InputSpec& input : inputs) lines += to_string(input) + "\n";
    std::ostringstream out;
    module.save(out, jit::ExtraFilesMap{{inputs_file, lines}});
    return core::write_file(path, std::string_view(out.view()));
  });
}

Result<std::shared_ptr<const Model>> from_module(const jit::Module& module, std::string name,
                                                 const LoadOptions& options) {
  const std::string where = name;
  auto model = guarded(Errc::unsupported, where, [&]() -> Result<std::shared_ptr<const Model>> {
    auto graph = lower(module);
    if (!graph)
      return fail(graph);
    auto plan = plan_aten(*graph);
    if (!plan)
      return fail(plan);
    auto inputs = fit_inputs(*plan, options.inputs, where);
    if (!inputs)
      return fail(inputs);
    auto analysis = try_out(*plan, *inputs);
    if (!analysis)
      return fail(analysis);
    // In-place operators are replaced only where aliases are what libtorch believes them to be.
    bool writes = false, undeclared = false;
    for (const PlacedStep& step : plan->steps) writes = writes || !step.written.empty();
    for (const StepFacts& step : analysis->steps)
      undeclared = undeclared || step.aliases_undeclared;
    if (writes && !undeclared) {
      *plan = Plan();
      remove_mutation(*graph);
      plan = plan_aten(*graph);
      if (!plan)
        return fail(plan);
      analysis = try_out(*plan, *inputs);
      if (!analysis)
        return fail(analysis);
    }
    if (auto same = check_against(module, *analysis, *inputs, where); !same)
      return fail(same);
    if (options.plan == PlanKind::fused) {
      auto fused = fuse_and_check(std::move(*plan), std::move(*analysis), *inputs, options);
      if (!fused)
        return fail(fused);
      std::tie(*plan, *analysis) = *std::move(fused);
    }
    analysis->outputs.clear();
    ModelFacts facts{std::move(name), weights_hash(module), count_parameters(module),
                     std::move(*inputs), options.all_cuts};
    return std::make_shared<PlanModel>(std::make_shared<Plan>(std::move(*plan)),
                                       std::move(*analysis), std::move(facts));
  });
  if (!model && model.error().where.empty())
    return fail(model.error().code, model.error().what, where, model.error().hint);
  return model;
}

Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                          const LoadOptions& options) {
  jit::ExtraFilesMap extra{{inputs_file, ""}};
  auto module = read_module(path, extra);
  if (!module)
    return fail(module);
  LoadOptions complete = options;
  if (complete.inputs.empty()) {
    auto inputs = parse_inputs(extra[inputs_file]);
    if (!inputs)
      return fail(inputs.error().code, inputs.error().what, path, inputs.error().hint);
    complete.inputs = std::move(*inputs);
  }
  return from_module(*module, path.stem().string(), complete);
}

}  // namespace cleave::inline v0::model
