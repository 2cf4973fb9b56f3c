#include "lib/model/agree.hpp"
#include "lib/model/analysis.hpp"
#include "lib/model/checked_file.hpp"
#include "lib/model/convert.hpp"
#include "lib/model/device.hpp"
#include "lib/model/example_inputs.hpp"
#include "lib/model/fingerprint.hpp"
#include "lib/model/guard.hpp"
#include "lib/model/lower.hpp"
#include "lib/model/onnx_import.hpp"
#include "lib/model/op_library.hpp"
#include "lib/model/plan_cache.hpp"
#include "lib/model/plan_fused.hpp"
#include "lib/model/plan_model.hpp"
#include "lib/model/shares_memory.hpp"
#include "lib/model/trust.hpp"

#include <cleave/core/file.hpp>
#include <cleave/model/torch.hpp>

#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/version.h>

#include <fstream>
#include <map>
#include <optional>
#include <set>
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
  if (auto admitted = admit(**file, path, options); !admitted)
    return fail(admitted);
  const auto read = [&] {
    return guarded(Errc::corrupt, path, [&]() -> Result<jit::Module> {
      return jit::load(std::make_shared<Adapter>(*file), c10::Device(c10::DeviceType::CPU), extra);
    });
  };
  auto module = read();
  if (!module && names_torchvision(module.error().what) && register_torchvision_ops())
    module = read();
  if (!module && module.error().what.starts_with("Unknown builtin op"))
    return fail(Errc::unsupported, module.error().what, path,
                "give the shared library that registers it, as in --op-library FILE.so");
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

// Names the inputs, and refuses what they cannot be.
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
  const core::Values examples = make_example_inputs(inputs, 0);
  for (std::size_t i = 0; i < needed; ++i) {
    const c10::TypePtr& type = plan.slots[plan.inputs[i]].type;
    if (auto fits = ToTorch().value(examples[i], type); !fits)
      return fail(Errc::invalid_argument,
                  "input '" + plan.input_names[i] + "' is a " + type->str() + ", not " +
                      to_string(inputs[i]),
                  where,
                  type->kind() == c10::TypeKind::ClassType
                      ? "wrap the model in one that takes tensors, numbers and containers"
                      : "describe it as in 1x3x8x8, int:3, none, [1x4,1x4] or {key=1x4}");
    inputs[i].name = plan.input_names[i];
  }
  return inputs;
}

// The example inputs as libtorch takes them, in storages of their own.
std::vector<c10::IValue> example_arguments(const Plan& plan, const std::vector<InputSpec>& inputs,
                                           std::uint64_t seed = 0) {
  ToTorch converter;
  std::vector<c10::IValue> values;
  const core::Values examples = make_example_inputs(inputs, seed);
  for (std::size_t i = 0; i < examples.size(); ++i)
    values.push_back(*converter.value(examples[i], plan.slots[plan.inputs[i]].type));
  return values;
}

std::map<std::string, c10::IValue> attributes_of(const jit::Module& module) {
  std::map<std::string, c10::IValue> attributes;
  for (const auto& attribute : module.named_attributes(/*recurse=*/true)) {
    if (!attribute.value.isModule())
      attributes.emplace(attribute.name, attribute.value);
  }
  return attributes;
}

// A network may fill an attribute in its first pass and then leave it alone, as detection networks
// do with sizes that never change, or to warn but once. Others that assign attributes are no
// functions of their inputs.
Result<void> check_attributes(const jit::Module& module, const Plan& plan,
                              const std::vector<InputSpec>& inputs, const std::string& where) {
  if (!assigns_attributes(module))
    return {};
  const at::NoGradGuard no_grad;
  const jit::GraphOptimizerEnabledGuard line_by_line(false);
  jit::Module used = module.deepcopy(), fresh = module.deepcopy();
  used.eval();
  fresh.eval();
  used.forward(example_arguments(plan, inputs, 0));
  const auto before = attributes_of(used);
  const c10::IValue second = used.forward(example_arguments(plan, inputs, 1));
  for (const auto& [path, value] : attributes_of(used)) {
    if (agree(before.at(path), value, 0))
      continue;
    const std::size_t dot = path.rfind('.');
    return fail(Errc::unsupported,
                "the model changes its own attribute '" +
                    (dot == std::string::npos ? path : path.substr(dot + 1)) + "' of " +
                    (dot == std::string::npos ? "the model itself"
                                              : "layer '" + path.substr(0, dot) + "'") +
                    " whenever it runs",
                where, "a model that can be cut must be a function of its inputs");
  }
  if (agree(fresh.forward(example_arguments(plan, inputs, 1)), second, 0))
    return {};
  std::string names;
  for (const auto& [path, value] : attributes_of(module)) {
    if (!agree(before.at(path), value, 0))
      names += (names.empty() ? "'" : ", '") + path + "'";
  }
  return fail(Errc::unsupported,
              "the model changes its own attributes " + names +
                  " when it runs, and computes something else afterwards",
              where, "a model that can be cut must be a function of its inputs");
}

// libtorch's passes believe what operators declare about the memory they share, and some declare
// too little: where something is changed in place, even the uncut plan might compute something else
// than the module does, line by line.
Result<void> check_against(const jit::Module& module, const Analysis& analysis,
                           std::vector<c10::IValue> arguments, const std::string& where) {
  const at::NoGradGuard no_grad;
  const jit::GraphOptimizerEnabledGuard line_by_line(false);
  jit::Module copy = module.clone(/*inplace=*/true);
  copy.eval();
  const c10::IValue expected = copy.forward(std::move(arguments));
  // Folding normalisation rounds differently, which some networks amplify; what goes wrong here
  // goes wrong by more.
  constexpr double tolerance = 1e-2;
  if (analysis.outputs.size() != 1 || !agree(expected, analysis.outputs.front(), tolerance))
    return fail(Errc::unsupported,
                "the lowered network does not compute what the module does; it changes a tensor in "
                "place that another still uses",
                where, "replace in-place operators such as add_ by add");
  return {};
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
    auto values = example_arguments(*there, inputs);
    Mover(device).move(values);
    Frame frame(there->slots.size());
    for (std::size_t i = 0; i < values.size(); ++i) frame[there->inputs[i]] = std::move(values[i]);
    there->run(0, static_cast<std::uint32_t>(there->steps.size()), frame, nullptr);
    synchronise(device);
    return std::move(*there);
  });
}

// The calling thread's number of threads, while it lives.
class WithThreads {
 public:
  explicit WithThreads(int count) : before_(dnn::threads()) {
    if (count > 0)
      dnn::set_threads(count);
  }
  ~WithThreads() { dnn::set_threads(before_); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;

 private:
  int before_;
};

// Replaces the plan by one with kernels chosen for this machine, and the analysis by what that
// shows when it runs.
Result<void> fuse_and_check(Plan& plan, Analysis& analysis, const std::vector<InputSpec>& inputs,
                            const LoadOptions& options, bool by_aten) {
  Draft draft = fuse(plan, analysis);
  if (!draft.has_kernels())
    return {};
  plan = Plan();
  Tuning tuning;
  tuning.by_aten = by_aten;
  tuning.structure = structure_hash(draft.plan);
  tuning.cache_folder = options.plan_cache ? *options.plan_cache : default_plan_cache();
  const auto examples = example_arguments(draft.plan, inputs);
  const WithThreads count(options.threads);
  auto chosen = choose(std::move(draft), examples, tuning);
  if (!chosen)
    return fail(chosen);
  plan = *std::move(chosen);
  auto again = analyse(plan, example_arguments(plan, inputs));
  if (!again)
    return fail(again);
  constexpr double tolerance = 1e-3;
  bool same = analysis.outputs.size() == again->outputs.size();
  for (std::size_t i = 0; same && i < again->outputs.size(); ++i)
    same = agree(analysis.outputs[i], again->outputs[i], tolerance, /*near_ties=*/true);
  if (!same)
    return fail(Errc::internal, "the fused network does not compute what its operators do", "",
                "load it unfused, and report this");
  analysis = *std::move(again);
  return {};
}

// Where every kind of file arrives: the plan of ATen's operators as the options want it.
Result<std::shared_ptr<const Model>> finished(Plan plan, Analysis analysis, ModelFacts facts,
                                              const LoadOptions& options) {
  const auto device = find_device(options.device);
  if (!device)
    return fail(device);
  std::optional<Plan> there;
  if (!device->is_cpu()) {
    auto made = moved(plan, *device, facts.inputs);
    if (!made)
      return fail(made);
    there = *std::move(made);
  }
  if (options.plan == PlanKind::fused) {
    // Elsewhere than on the CPU ATen's operators perform the same steps.
    const Analysis unfused = analysis;
    if (auto done = fuse_and_check(plan, analysis, facts.inputs, options, there.has_value()); !done)
      return fail(done);
    if (there) {
      auto grouped =
          choose(fuse(*there, unfused), {}, {.structure = 0, .cache_folder = {}, .by_aten = true});
      if (!grouped)
        return fail(grouped);
      there = *std::move(grouped);
    }
  }
  if (there)
    plan = *std::move(there);
  analysis.outputs.clear();
  return std::make_shared<PlanModel>(std::make_shared<Plan>(std::move(plan)), std::move(analysis),
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

Result<std::shared_ptr<const Model>> lower_onnx(OnnxImport& onnx, const std::string& name,
                                                const LoadOptions& options) {
  auto plan = plan_aten(onnx.graph);
  if (!plan)
    return fail(plan);
  auto inputs = fit_inputs(*plan, std::move(onnx.inputs), name);
  if (!inputs)
    return fail(inputs);
  auto analysis = analyse(*plan, example_arguments(*plan, *inputs));
  if (!analysis)
    return fail(analysis);
  if (auto checked = check_sizes(onnx, *plan, *analysis); !checked)
    return fail(checked);
  ModelFacts facts{name,
                   onnx.weights_hash,
                   onnx.parameters,
                   std::move(*inputs),
                   options.all_cuts,
                   /*writes=*/false,
                   {}};
  onnx.graph = nullptr;
  return finished(*std::move(plan), *std::move(analysis), std::move(facts), options);
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

// `called` is the file's own path, where `path` is a descriptor.
Result<std::shared_ptr<const Model>> load_onnx(const std::filesystem::path& path,
                                               const std::filesystem::path& called,
                                               const LoadOptions& options) {
  const auto file = FileSource::open(path);
  if (!file)
    return fail(file);
  constexpr std::uint64_t largest = std::uint64_t{1} << 31;  // what protobuf can read
  if ((*file)->size() > largest)
    return fail(Errc::exhausted, "an ONNX file has at most 2 GiB", path,
                "keep its weights in files beside it, as exporters do for large networks");
  if (auto admitted = admit(**file, called, options); !admitted)
    return fail(admitted);
  std::optional<std::vector<std::byte>> bytes((*file)->size());
  if (!(*file)->read(0, *bytes) || !(*file)->unchanged())
    return fail(Errc::corrupt, "the file was written to while it was read", path, "load it again");
  auto folder = called.parent_path();
  auto onnx = import_onnx(*bytes, {options.inputs, folder.empty() ? "." : folder});
  if (!onnx) {
    const auto& error = onnx.error();
    if (error.code == Errc::corrupt && path.extension() != ".onnx")
      return fail(Errc::corrupt, "not a TorchScript model, nor an ONNX one: " + error.what, path,
                  "export one with torch.jit.script(model).save(path) or torch.onnx.export()");
    return fail(error.code, error.what, path, error.hint);
  }
  bytes.reset();
  const std::string name = called.stem().string();
  auto model = guarded(Errc::unsupported, path, [&] { return lower_onnx(*onnx, name, options); });
  if (!model && model.error().where.empty())
    return fail(model.error().code, model.error().what, path, model.error().hint);
  return model;
}

// A plan with what is known of it.
struct Lowered {
  Plan plan;
  std::vector<InputSpec> inputs;
  Analysis analysis;
  bool writes = false;            // the module changes values in place
  std::set<std::string> sharing;  // operators found to share memory that they do not declare
};

Result<Lowered> lower_and_try(const jit::Module& module, const LoadOptions& options,
                              const std::string& where) {
  Lowered result;
  LowerOptions lowering;
  if (!options.inputs.empty())
    lowering.inputs = options.inputs.size();
  while (true) {
    auto graph = lower(module, lowering);
    if (!graph)
      return fail(graph);
    result.writes = writes_in_place((*graph)->block());
    if (result.writes)
      remove_mutation(*graph);
    auto plan = plan_aten(*graph);
    if (!plan)
      return fail(plan);
    auto inputs = fit_inputs(*plan, options.inputs, where);
    if (!inputs)
      return fail(inputs);
    if (auto same = check_attributes(module, *plan, *inputs, where); !same)
      return fail(same);
    auto analysis = analyse(*plan, example_arguments(*plan, *inputs));
    if (!analysis)
      return fail(analysis);
    // An operator that turns out to share memory is declared to, and everything begins anew.
    const std::size_t known = lowering.sharing.size();
    lowering.sharing.insert(analysis->undeclared.begin(), analysis->undeclared.end());
    if (result.writes && lowering.sharing.size() > known)
      continue;
    result.plan = std::move(*plan);
    result.plan.unit = module._ivalue()->compilation_unit();
    result.inputs = std::move(*inputs);
    result.analysis = std::move(*analysis);
    result.sharing = std::move(lowering.sharing);
    return result;
  }
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
    if (const auto device = find_device(options.device); !device)
      return fail(device);
    auto lowered = lower_and_try(module, options, where);
    if (!lowered)
      return fail(lowered);
    if (lowered->writes) {
      auto same = check_against(module, lowered->analysis,
                                example_arguments(lowered->plan, lowered->inputs), where);
      if (!same)
        return fail(same);
    }
    ModelFacts facts{
        std::move(name),  weights_hash(module), count_parameters(module),   lowered->inputs,
        options.all_cuts, lowered->writes,      std::move(lowered->sharing)};
    return finished(std::move(lowered->plan), std::move(lowered->analysis), std::move(facts),
                    options);
  });
  if (!model && model.error().where.empty())
    return fail(model.error().code, model.error().what, where, model.error().hint);
  return model;
}

namespace {

Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                          const std::filesystem::path& called,
                                          const LoadOptions& options) {
  if (begins_like_onnx(path))
    return load_onnx(path, called, options);
  for (const std::filesystem::path& library : options.op_libraries) {
    if (auto opened = open_op_library(library); !opened)
      return fail(opened);
  }
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
  return from_module(*module, called.stem().string(), complete);
}

}  // namespace

Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                          const LoadOptions& options) {
  return load(path, path, options);
}

Result<void> try_to_load(const std::filesystem::path& descriptor, const std::filesystem::path& path,
                         LoadOptions options) {
  // Lowers the network and runs a pass; the kernels of a fused plan are the same for any weights.
  options.plan = PlanKind::unfused;
  if (const auto model = load(descriptor, path, options); !model)
    return fail(model);
  return {};
}

}  // namespace cleave::inline v0::model
