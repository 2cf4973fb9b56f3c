// A network loaded from a file, lowered to steps that can be cut anywhere and run head and tail.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/core/units.hpp>
#include <cleave/model/trust.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cleave::inline v0::model {

/// One input of a network: usually a tensor's element type and sizes (the batch included), else
/// another value of TorchScript, with an example of it.
struct InputSpec {
  enum class Kind { tensor, none, boolean, integer, real, text, list, tuple, dict };

  std::string name = {};  ///< as in the model's forward(); may be empty when given by a caller; in
                          ///< a dictionary the key
  core::DType dtype = core::DType::float32;
  std::vector<std::int64_t> sizes = {};
  Kind kind = Kind::tensor;
  std::variant<bool, std::int64_t, double, std::string> scalar = {};  ///< boolean ... text
  std::vector<InputSpec> items = {};                                  ///< of a list, tuple or dict
  friend bool operator==(const InputSpec&, const InputSpec&) = default;
};

/// A tensor is "1x3x224x224", or "1x3x224x224:uint8" for another element type than float32, and
/// "scalar" for no dimensions. Beside tensors: "none", "bool:true", "int:3", "float:0.5",
/// "str:fast" (quoted, as in str:"a, b", where it holds spaces, quotes or brackets), lists
/// "[1x3x8x8,1x3x9x9]", tuples "(1x4,int:2)" and dictionaries "{image=1x3x8x8,mask=none}", nested
/// as you like down to 32 levels; a dictionary whose keys are whole numbers is written "{0=1x4}".
/// Errc::invalid_argument says what does not fit.
CLEAVE_EXPORT core::Result<InputSpec> parse_input_spec(std::string_view text);
/// The inverse: "1x3x224x224", ":dtype" only if it is not float32. Names of dictionary entries are
/// written, others are not.
CLEAVE_EXPORT std::string to_string(const InputSpec& input);

/// What the network is lowered to.
enum class PlanKind : std::uint8_t {
  /// Convolutions, linear layers and pools with what follows them as one kernel: fastest. NaN and
  /// infinities may come out otherwise than from ATen's operators.
  fused,
  unfused,  ///< one operator a step: more places to cut
};

struct LoadOptions {
  /// One per input of the network: the example that it is looked at with. May be empty if the file
  /// tells them (cleave's zoo writes them into its files, ONNX files have them unless a size is
  /// left open); else loading fails and says how many are needed. Arguments of forward() that have
  /// default values may be left out at the end: they then keep their defaults, and are no inputs.
  std::vector<InputSpec> inputs;
  /// List every place between two steps. By default a place is listed only if some computing step
  /// (a convolution, a sum, an activation; not a view or the building of a list) lies between it
  /// and the place listed before.
  bool all_cuts = false;
  /// What becomes of a file that is not on the trusted list. By default it is opened like any
  /// other: a TorchScript file is code, so load() others' files with Untrusted::check or refuse.
  TrustOptions trust;
  /// Where the network runs: "cpu", "cuda" (the first) or "cuda:1". Inputs, outputs and what
  /// crosses a cut are in main memory all the same, and the fingerprint and the cuts are those of
  /// the CPU, so an edge without an accelerator works with a cloud that has one. set_threads() sets
  /// the threads of what remains on the CPU; run_timed() waits for the device after each step.
  std::string device = "cpu";
  /// Shared libraries that register operators which the file uses, opened before it is read and
  /// never closed. They are code: open only what you trust. torchvision's nms and roi_align are
  /// there without any.
  std::vector<std::filesystem::path> op_libraries;
  /// Cuts and profiles belong to one of the two.
  PlanKind plan = PlanKind::fused;
  /// On how many threads the kernels of a fused plan are to be fast; 0: on as many as the calling
  /// thread would use. On other numbers they compute the same.
  int threads = 0;
  /// Where the kernels chosen for a network on this machine are kept: they are measured when it is
  /// loaded for the first time, which takes some seconds. Nothing: $XDG_CACHE_HOME/cleave/plans, or
  /// ~/.cache/cleave/plans; empty: nowhere, so that every load measures.
  std::optional<std::filesystem::path> plan_cache;
};

/// One step of the plan, for people and reports.
struct StepInfo {
  std::string layer;  ///< module path, "features.3"; else that of the step that feeds it
  std::string op;     ///< "aten::conv2d"
  std::vector<std::int64_t> output_sizes;  ///< of the first tensor it gives, for the example input
  std::int64_t parameters = 0;             ///< weights that it is the first to use
  core::Bytes weight_bytes;                ///< and what they take
  bool computes = false;                   ///< not merely a view, a list, a scalar
  std::vector<std::uint32_t> needs;        ///< earlier steps whose results it reads, ascending
  bool reads_input = false;                ///< it reads an input of the network
  std::string kernel;  ///< how this machine performs it, where there was a choice
};

/// A place between two steps where the network must not be cut.
struct RefusedCut {
  std::uint32_t position = 0;
  std::string layer, op;  ///< of the step before
  std::string reason;     ///< one sentence that names the values in the way
};

/// A network that runs in parts. Immutable and thread-safe like every Executable. Holds one copy
/// of the weights, shared by all heads and tails.
class CLEAVE_EXPORT Model : public core::Executable {
 public:
  ~Model() override;

  /// The file's name without folder and ".pt" or ".onnx", or what from_module() was told.
  [[nodiscard]] virtual const std::string& name() const = 0;
  /// What the model was loaded with. run() takes values of the same kinds, and tensors of the same
  /// element types and numbers of dimensions; sizes, lengths of lists, keys of dictionaries and
  /// scalars may be others wherever the network allows it. Where in-place operators make it
  /// necessary, the first run with unseen sizes looks at the network again, which takes one pass
  /// more; a cut that would change the result at these sizes is refused (Errc::unsupported).
  [[nodiscard]] virtual std::span<const InputSpec> inputs() const = 0;
  /// One per step; `steps()[i]` runs between position i and i + 1.
  [[nodiscard]] virtual std::span<const StepInfo> steps() const = 0;
  /// Places that cuts() leaves out because cutting there would change results.
  [[nodiscard]] virtual std::span<const RefusedCut> refused_cuts() const = 0;
  /// Elements of all parameters in the file, normalisation statistics not among them: the figure
  /// that is published for a network.
  [[nodiscard]] virtual std::int64_t parameter_count() const = 0;
  /// Bytes of the storages that hold the lowered network's weights, each counted once: what the
  /// model keeps in memory, whatever cuts are used.
  [[nodiscard]] virtual core::Bytes weight_bytes() const = 0;
  /// Inputs of the declared shapes, filled from a normal distribution (floating point), small
  /// integers or booleans; equal seeds give equal inputs.
  [[nodiscard]] virtual core::Values example_inputs(std::uint64_t seed = 0) const = 0;
};

/// Loads a TorchScript file, in evaluation mode, or an ONNX file; its content tells which. Before
/// libtorch reads a TorchScript file, its archive is checked: every entry's CRC-32, bounds and
/// name, and that each tensor lies inside its bytes. What was changed so that the sums hold cannot
/// be seen: that is what the trusted list is for. An ONNX file is read as docs/onnx.md says, by
/// itself where it tells the shapes of its inputs. Errc::not_found, permission_denied (by the
/// system, or not on the list), corrupt (not a model, truncated, flipped bits, crashed a child
/// process), exhausted (over the limits of an archive, of an ONNX file or of a child process),
/// invalid_argument (inputs are missing or do not fit), unsupported (an operator that cannot be
/// lowered or is not known; a model that changes its own attributes when it runs, with their names;
/// a device that is not there).
CLEAVE_EXPORT core::Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                                              const LoadOptions& options = {});

/// The version of libtorch this was built with, "1.13.0".
CLEAVE_EXPORT std::string torch_version();

}  // namespace cleave::inline v0::model
