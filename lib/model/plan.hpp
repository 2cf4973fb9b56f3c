// A network as a fixed sequence of steps. A model may have several plans over one set of weights;
// a cut belongs to one plan.
#pragma once

#include "lib/model/buffer_pool.hpp"
#include "lib/model/dnnl.hpp"
#include "lib/model/torch_pch.hpp"

#include <cleave/core/backend.hpp>
#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// What a step does: takes its arguments from the end of the stack and leaves its results there.
/// Immutable; run() may be called from several threads at once.
class Step {
 public:
  virtual ~Step() = default;
  virtual void run(torch::jit::Stack& stack) const = 0;
  /// Weights that the step keeps itself, beside Plan::constants.
  [[nodiscard]] virtual std::int64_t weight_elements() const { return 0; }
  [[nodiscard]] virtual std::size_t weight_bytes() const { return 0; }
};

/// The layout in which a step wants an argument; plain: contiguous.
enum class Want : std::uint8_t { as_it_is, plain, channels_last, blocked };

/// Where an argument comes from.
struct Source {
  std::uint32_t index = 0;  ///< into Plan::constants or the frame
  bool constant = false;
  bool last_use = false;  ///< the frame may let go of the value
};

/// A result that nothing reads.
inline constexpr std::uint32_t no_slot = std::numeric_limits<std::uint32_t>::max();

struct PlacedStep {
  std::shared_ptr<const Step> step;
  std::vector<Source> arguments;
  std::vector<std::uint32_t> results;  ///< slots, or no_slot
  std::vector<std::uint32_t> written;  ///< arguments that it declares to change in place
  std::vector<Want> wants;             ///< one per argument, or empty: all as they are
  std::string layer, op;
  std::string kernel;      ///< the variant chosen for this machine; "" where there is one only
  std::uint64_t hash = 0;  ///< of what it does and what it is wired to, not of the weights' values
  torch::jit::Node* node = nullptr;  ///< in Plan::graph; null for a step made of several
};

/// A value of the plan: an input of the network, or a step's result.
struct Slot {
  c10::TypePtr type;
  std::int64_t defined = -1;   ///< by this step; -1: an input
  std::int64_t last_use = -1;  ///< by this step; steps.size(): an output; -1: never
  torch::jit::Value* value = nullptr;
  bool blocked = false;  ///< a tensor of dnn::Layout::blocked; never outside the plan
};

/// The values of one pass, by slot.
using Frame = std::vector<c10::IValue>;

struct Plan {
  std::shared_ptr<torch::jit::Graph> graph;  ///< what the steps were made of; keeps nodes alive
  std::shared_ptr<torch::jit::CompilationUnit> unit;  ///< the classes that the graph uses, if any
  std::vector<PlacedStep> steps;
  std::vector<c10::IValue> constants;  ///< weights and other constants; the one copy
  std::vector<Slot> slots;
  std::vector<std::uint32_t> inputs;  ///< slots
  std::vector<std::string> input_names;
  std::vector<Source> outputs;
  c10::Device device = c10::DeviceType::CPU;  ///< where the constants are and the steps run
  std::shared_ptr<BufferPool> pool = std::make_shared<BufferPool>();  ///< for steps' results

  /// The slots whose values live across a position: for 0 the inputs, else what is defined before
  /// and read at or after. Not for the last position, where the outputs are.
  [[nodiscard]] std::vector<std::uint32_t> live(std::uint32_t position) const;

  /// Runs one step over the frame. `lets_go`, if not null, says of each argument whether the frame
  /// may let go of it, in place of Source::last_use, which holds for the sequence as a whole.
  void run_step(std::uint32_t index, Frame& frame, torch::jit::Stack& stack,
                const std::uint8_t* lets_go = nullptr) const;
  /// Runs the steps from begin to end; appends a time for each if `times` is not null.
  void run(std::uint32_t begin, std::uint32_t end, Frame& frame,
           std::vector<core::StepTime>* times) const;
  /// Runs these steps in their order; `lets_go` holds one flag per argument of each.
  void run(std::span<const std::uint32_t> indices, std::span<const std::uint8_t> lets_go,
           Frame& frame, std::vector<core::StepTime>* times) const;
  /// The value that a source names.
  [[nodiscard]] const c10::IValue& look_up(const Source& source, const Frame& frame) const {
    return source.constant ? constants[source.index] : frame[source.index];
  }
};

/// Marks, by Slot::last_use, the last argument that reads a slot: it takes the value out of the
/// frame.
void mark_last_uses(Plan& plan);

/// The value as a step wants it. `blocked`: whether it is (see Slot).
c10::IValue converted(BufferPool& pool, c10::IValue value, bool blocked, Want want);

/// Turns a graph without calls, whose inputs are values only, into a plan of one step a node.
/// Errc::unsupported names the node that cannot be lowered.
CLEAVE_EXPORT core::Result<Plan> plan_aten(std::shared_ptr<torch::jit::Graph> graph);

}  // namespace cleave::inline v0::model
