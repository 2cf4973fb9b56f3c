// A network loaded from a file, lowered to steps that can be cut anywhere and run head and tail.
#pragma once

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/core/units.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cleave::inline v0::model {

/// One input of a network: a tensor's element type and sizes (the batch included).
struct InputSpec {
  std::string name;  ///< as in the model's forward(); may be empty when given by a caller
  core::DType dtype = core::DType::float32;
  std::vector<std::int64_t> sizes;
  friend bool operator==(const InputSpec&, const InputSpec&) = default;
};

/// "1x3x224x224", or "1x3x224x224:uint8" for another element type than float32; "scalar" for no
/// dimensions. Errc::invalid_argument says what does not fit.
CLEAVE_EXPORT core::Result<InputSpec> parse_input_spec(std::string_view text);
/// The inverse: "1x3x224x224", ":dtype" only if it is not float32.
CLEAVE_EXPORT std::string to_string(const InputSpec& input);

/// What the network is lowered to.
enum class PlanKind : std::uint8_t {
  fused,    ///< convolutions, linear layers and pools with what follows them as one kernel: fastest
  unfused,  ///< one operator a step: more places to cut
};

struct LoadOptions {
  /// One per input of the network. May be empty if the file tells them (cleave's zoo writes them
  /// into its files); else loading fails and says how many are needed.
  std::vector<InputSpec> inputs;
  /// List every place between two steps. By default a place is listed only if some computing step
  /// (a convolution, a sum, an activation; not a view or the building of a list) lies between it
  /// and the place listed before.
  bool all_cuts = false;
  /// Cuts and profiles belong to one of the two.
  PlanKind plan = PlanKind::fused;
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
  std::string kernel;  ///< how this machine performs it, where there was a choice
};

/// A place between two steps where the network must not be cut.
struct RefusedCut {
  std::uint32_t position = 0;
  std::string layer, op;  ///< of the step before
  std::string reason;     ///< one sentence
};

/// A network that runs in parts. Immutable and thread-safe like every Executable. Holds one copy
/// of the weights, shared by all heads and tails.
class CLEAVE_EXPORT Model : public core::Executable {
 public:
  ~Model() override;

  /// The file's name without folder and ".pt", or what from_module() was told.
  [[nodiscard]] virtual const std::string& name() const = 0;
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

/// Loads a TorchScript file, in evaluation mode. The file is checked (a zip whose every entry's
/// CRC-32 holds) before libtorch reads it. Errc::not_found, permission_denied, corrupt (not a
/// model, truncated, flipped bits), invalid_argument (inputs are missing or do not fit),
/// unsupported (an operator or a state that cannot be lowered).
CLEAVE_EXPORT core::Result<std::shared_ptr<const Model>> load(const std::filesystem::path& path,
                                                              const LoadOptions& options = {});

/// The version of libtorch this was built with, "1.13.0".
CLEAVE_EXPORT std::string torch_version();

}  // namespace cleave::inline v0::model
