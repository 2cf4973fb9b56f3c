#include "lib/model/analysis.hpp"
#include "lib/model/checked_file.hpp"
#include "lib/model/convert.hpp"
#include "lib/model/device.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/lower.hpp"
#include "lib/model/onnx_import.hpp"
#include "lib/model/plan_model.hpp"
#include "lib/model/trust.hpp"

#include <cleave/core/file.hpp>
#include <cleave/model/torch.hpp>

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/passes/inliner.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <fstream>
#include <functional>
#include <sstream>
#include <unordered_set>

namespace cleave::inline v0::model {

namespace jit = torch::jit;
using core::Errc;
using core::fail;
using core::Result;

namespace {

constexpr const char* inputs_file = "cleave_inputs.txt";

// Lets libtorch read the very bytes that were checked.
class Adapter final : public caffe2::serialize::ReadAdapterInterface {
 public:
  explicit Adapter(std::shared_ptr<const FileSource> file) : file_(std::move(file)) {}
  [[nodiscard]] std::size_t size() const override { return file_->size(); }
  std::size_t read(std::uint64_t offset, void* into, std::size_t count,
                   const char* /*what*/) const override {
    return file_->read(offset, std::span(static_cast<std::byte*>(into), count)) ? count : 0;
  }

 private:
  std::shared_ptr<const FileSource> file_;
};

Result<jit::Module> read_module(const std::filesystem::path& path, jit::ExtraFilesMap& extra,
                                const LoadOptions& options) {
  auto file = FileSource::open(path);
  if (!file)
    return fail(file);
  if (auto checked = check_archive(**file, path); !checked)
    return fail(checked);
  std::vector<std::string> inputs;
  for (const InputSpec& input : options.inputs) inputs.push_back(to_string(input));
  if (auto admitted =
          admit(**file, Contents::code, path.filename().string(), path, inputs, options.trust);
      !admitted)
    return fail(admitted);
  auto module = guarded(Errc::corrupt, path, [&]() -> Result<jit::Module> {
    return jit::load(std::make_shared<Adapter>(*file), c10::Device(c10::DeviceType::CPU), extra);
  });
  if (module && !(*file)->unchanged())
    return fail(Errc::corrupt, "the file was written to while it was read", path, "load it again");
  return module;
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

// Moves the plan and runs it there once: what the device cannot do shows now, not at the first
// request.
Result<Plan> moved(Plan plan, c10::Device device, const std::vector<InputSpec>& inputs) {
  auto there = on_device(std::move(plan), device);
  if (!there)
    return fail(there);
  return guarded(Errc::unsupported, device.str(), [&]() -> Result<Plan> {
    const c10::InferenceMode inference;
    const c10::OptionalDeviceGuard here(device);
    ToTorch converter;
    std::vector<c10::IValue> values;
    for (const core::Value& value : make_example_inputs(inputs, 0))
      values.emplace_back(converter.tensor(*value.tensor()));
    Mover(device).move(values);
    Frame frame(there->slots.size());
    for (std::size_t i = 0; i < values.size(); ++i) frame[there->inputs[i]] = std::move(values[i]);
    there->run(0, static_cast<std::uint32_t>(there->steps.size()), frame, nullptr);
    synchronise(device);
    return std::move(*there);
  });
}

Result<Analysis> try_out(const Plan& plan, const std::vector<InputSpec>& inputs) {
  ToTorch converter;
  std::vector<c10::IValue> values;
  for (const core::Value& value : make_example_inputs(inputs, 0))
    values.emplace_back(converter.tensor(*value.tensor()));
  return analyse(plan, std::move(values));
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
  bool same = expected.size() == given.size();
  for (std::size_t i = 0; same && i < given.size(); ++i) {
    const at::Tensor a = expected[i].to(at::kDouble), b = given[i].to(at::kDouble);
    same = a.sizes() == b.sizes() &&
           (a.numel() == 0 || at::allclose(a, b, 1e-3, 1e-3 * a.abs().max().item<double>(), true));
  }
  if (!same)
    return fail(Errc::unsupported,
                "the lowered network does not compute what the module does; it changes a tensor in "
                "place that another still uses",
                where, "replace in-place operators such as add_ by add");
  return {};
}

// Where every source of a graph arrives. `facts.inputs` are what the caller or the file says of the
// inputs' shapes; `check` looks at what the pass over example inputs showed.
using Check =
    std::function<Result<void>(const Plan&, const Analysis&, const std::vector<InputSpec>&)>;
Result<std::shared_ptr<const Model>> from_graph(const std::shared_ptr<jit::Graph>& graph,
                                                ModelFacts facts, const LoadOptions& options,
                                                const Check& check) {
  const auto device = find_device(options.device);
  if (!device)
    return fail(device);
  auto plan = plan_aten(graph);
  if (!plan)
    return fail(plan);
  auto inputs = fit_inputs(*plan, std::move(facts.inputs), facts.name);
  if (!inputs)
    return fail(inputs);
  facts.inputs = std::move(*inputs);
  auto analysis = try_out(*plan, facts.inputs);
  if (!analysis)
    return fail(analysis);
  // In-place operators are replaced only where aliases are what libtorch believes them to be.
  bool writes = false, undeclared = false;
  for (const PlacedStep& step : plan->steps) writes = writes || !step.written.empty();
  for (const StepFacts& step : analysis->steps) undeclared = undeclared || step.aliases_undeclared;
  if (writes && !undeclared) {
    *plan = Plan();
    remove_mutation(graph);
    plan = plan_aten(graph);
    if (!plan)
      return fail(plan);
    analysis = try_out(*plan, facts.inputs);
    if (!analysis)
      return fail(analysis);
  }
  if (auto checked = check(*plan, *analysis, facts.inputs); !checked)
    return fail(checked);
  analysis->outputs.clear();
  if (!device->is_cpu()) {
    plan = moved(*std::move(plan), *device, facts.inputs);
    if (!plan)
      return fail(plan);
  }
  return std::make_shared<PlanModel>(std::make_shared<Plan>(std::move(*plan)), std::move(*analysis),
                                     std::move(facts));
}

// The importer worked out every size while it folded shapes; the pass has shown them.
Result<void> check_sizes(const OnnxImport& onnx, const Plan& plan, const Analysis& analysis) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlacedStep& placed = plan.steps[i];
    const auto found = placed.node && placed.node->outputs().size() > 0
                           ? onnx.sizes.find(placed.node->outputs()[0])
                           : onnx.sizes.end();
    if (found == onnx.sizes.end())
      continue;
    const auto& given = analysis.steps[i].output_sizes;
    bool same = found->second.size() == given.size() || placed.results[0] == no_slot;
    for (std::size_t d = 0; same && d < given.size(); ++d)
      same = found->second[d] < 0 || found->second[d] == given[d];
    if (!same)
      return fail(Errc::internal, "the importer took the sizes of " + placed.op + " for others",
                  placed.layer);
  }
  return {};
}

// A ModelProto begins with the tag of one of its fields; a zip archive does not.
bool begins_like_onnx(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored))
    return false;
  std::ifstream file(path, std::ios::binary);
  const int tag = file.get();
  if (path.extension() == ".onnx")
    return tag != 'P';
  constexpr std::string_view tags("\x08\x12\x1a\x22\x28\x32\x3a\x42\x72", 9);
  return tag != std::ifstream::traits_type::eof() &&
         tags.find(static_cast<char>(tag)) != std::string_view::npos;
}

Result<std::shared_ptr<const Model>> load_onnx(const std::filesystem::path& path,
                                               const LoadOptions& options) {
  constexpr std::size_t largest = std::size_t{1} << 31;  // what protobuf can read
  auto bytes = core::read_file(path, largest);
  if (!bytes)
    return fail(bytes);
  auto folder = path.parent_path();
  auto onnx = import_onnx(*bytes, {options.inputs, folder.empty() ? "." : folder});
  if (!onnx) {
    const auto& error = onnx.error();
    if (error.code == Errc::corrupt && path.extension() != ".onnx")
      return fail(Errc::corrupt, "not a TorchScript model, nor an ONNX one: " + error.what, path,
                  "export one with torch.jit.script(model).save(path) or torch.onnx.export()");
    return fail(error.code, error.what, path, error.hint);
  }
  *bytes = {};
  const std::string name = path.stem().string();
  auto model = guarded(Errc::unsupported, path, [&] {
    ModelFacts facts{name, onnx->weights_hash, onnx->parameters, std::move(onnx->inputs),
                     options.all_cuts};
    return from_graph(
        onnx->graph, std::move(facts), options,
        [&](const Plan& plan, const Analysis& analysis, const std::vector<InputSpec>&) {
          return check_sizes(*onnx, plan, analysis);
        });
  });
  if (!model && model.error().where.empty())
    return fail(model.error().code, model.error().what, path, model.error().hint);
  return model;
}

}  // namespace

Model::~Model() = default;

std::string torch_version() {
  return TORCH_VERSION;
}

Result<jit::Module> load_module(const std::filesystem::path& path) {
  jit::ExtraFilesMap extra;
  return read_module(path, extra, {});
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
    ModelFacts facts{std::move(name), weights_hash(module), count_parameters(module),
                     options.inputs, options.all_cuts};
    return from_graph(
        *graph, std::move(facts), options,
        [&](const Plan&, const Analysis& analysis, const std::vector<InputSpec>& inputs) {
          return check_against(module, analysis, inputs, where);
        });
  });
  if (!model && model.error().where.empty())
    return fail(model.error().code, model.error().what, where, model.error().hint);
  return model;
}

Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                          const LoadOptions& options) {
  if (begins_like_onnx(path))
    return load_onnx(path, options);
  jit::ExtraFilesMap extra{{inputs_file, ""}};
  auto module = read_module(path, extra, options);
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
