// A Model that runs one plan.
#pragma once

#include "lib/model/analysis.hpp"
#include "lib/model/passage.hpp"
#include "lib/model/plan.hpp"

#include <cleave/model/model.hpp>

#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::model {

struct ModelFacts {
  std::string name;
  std::uint64_t weights_hash = 0;
  std::int64_t parameters = 0;
  std::vector<InputSpec> inputs;
  bool all_cuts = false;
  bool writes = false;            ///< the module changes values in place
  std::set<std::string> sharing;  ///< operators found to share memory that they do not declare
};

/// A cut, and what it takes to run up to it and from it on.
struct Place {
  core::Cut cut;
  core::StepSet head;               ///< empty for a prefix, which Cut::position describes
  std::vector<std::uint32_t> live;  ///< slots that cross
  std::vector<bool> written;        ///< of these: the tail would change them in place
  Passage before, after;  ///< for a head that is no prefix: from the inputs, to the outputs
};

/// How libtorch is to work during a pass: without gradients.
class PassModes {
 public:
  explicit PassModes(bool writes) : inference_(!writes) {}

 private:
  // In inference mode libtorch copies some views that it shares otherwise (a reshaped lazy
  // conjugate, say), so what is written through one is lost.
  c10::InferenceMode inference_;
  at::NoGradGuard no_grad_;
};

class PlanModel final : public Model {
 public:
  PlanModel(std::shared_ptr<const Plan> plan, Analysis analysis, ModelFacts facts);

  [[nodiscard]] core::Fingerprint fingerprint() const override { return fingerprint_; }
  [[nodiscard]] std::span<const core::Cut> cuts() const override { return cuts_; }
  [[nodiscard]] std::uint32_t step_count() const override {
    return static_cast<std::uint32_t>(plan_->steps.size());
  }
  [[nodiscard]] core::StepGraph step_graph() const override { return graph_; }
  [[nodiscard]] core::Result<core::Cut> cut_at(
      std::span<const core::StepRange> head) const override;
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override {
    return run_between(begin, end, values, nullptr);
  }
  [[nodiscard]] core::Result<core::Values> run_timed(
      core::CutId begin, core::CutId end, const core::Values& values,
      std::vector<core::StepTime>& times) const override {
    return run_between(begin, end, values, &times);
  }
  [[nodiscard]] core::Result<std::vector<core::StepMemory>> measure_memory(
      const core::Values& inputs) const override;
  [[nodiscard]] core::Result<void> set_threads(int threads) const override;

  [[nodiscard]] const std::string& name() const override { return facts_.name; }
  [[nodiscard]] std::span<const InputSpec> inputs() const override { return facts_.inputs; }
  [[nodiscard]] std::span<const StepInfo> steps() const override { return steps_; }
  [[nodiscard]] std::span<const RefusedCut> refused_cuts() const override { return refused_; }
  [[nodiscard]] std::int64_t parameter_count() const override { return facts_.parameters; }
  [[nodiscard]] core::Bytes weight_bytes() const override { return weight_bytes_; }
  [[nodiscard]] core::Values example_inputs(std::uint64_t seed) const override;

 private:
  void describe_steps();
  void list_cuts();
  void list_places();
  [[nodiscard]] core::Result<std::shared_ptr<const Place>> make_place(core::CutId id,
                                                                      core::StepSet head) const;
  /// Errc::not_found, or unsupported where the network must not be cut. The place stays alive while
  /// it is held, whatever else is forgotten.
  [[nodiscard]] core::Result<std::shared_ptr<const Place>> place_of(core::CutId cut) const;
  [[nodiscard]] std::shared_ptr<const Place> known_place(core::CutId cut) const;
  [[nodiscard]] core::StepSet head_of(const Place& place) const;
  [[nodiscard]] core::Result<void> check_inputs(const core::Values& values) const;
  [[nodiscard]] core::Result<Frame> enter(const Place& place, const core::Values& values) const;
  /// Whether a cut is safe for inputs of such sizes, found out at the first of them.
  [[nodiscard]] core::Result<void> check_sizes(const core::Values& values, const Place& end) const;
  [[nodiscard]] core::Result<core::Values> leave(const Place& place, const Frame& frame) const;
  core::Result<void> advance(const Place& from, const Place& to, Frame& frame,
                             std::vector<core::StepTime>* times) const;
  [[nodiscard]] core::Result<core::Values> run_between(core::CutId begin, core::CutId end,
                                                       const core::Values& values,
                                                       std::vector<core::StepTime>* times) const;

  std::shared_ptr<const Plan> plan_;
  Analysis analysis_;
  ModelFacts facts_;
  core::Fingerprint fingerprint_;
  core::StepGraph graph_;
  std::vector<std::vector<std::uint32_t>> writers_;      ///< by slot: steps that may change it
  std::vector<std::shared_ptr<const Place>> positions_;  ///< the prefixes
  std::unordered_map<core::CutId, std::shared_ptr<const Place>> prefixes_;
  mutable std::shared_mutex mutex_;  ///< of what cut_at() has added
  mutable std::unordered_map<core::CutId, std::shared_ptr<const Place>> others_;
  mutable std::deque<core::CutId> oldest_first_;
  std::vector<core::Cut> cuts_;
  std::vector<RefusedCut> refused_;
  std::vector<StepInfo> steps_;
  core::Bytes weight_bytes_;

  /// What a pass with other sizes than the example's showed.
  struct Seen {
    std::string signature;
    std::string unfit;                 ///< why the network must not run so; "" if it may
    std::vector<std::string> refused;  ///< by position, "" where the network may be cut
    core::StepGraph graph;
  };
  bool writes_ = false;      ///< the plan changes values in place
  bool look_again_ = false;  ///< sizes matter for where the network may be cut
  std::string known_;        ///< the example's signature
  mutable std::mutex seen_mutex_;
  mutable std::list<std::shared_ptr<const Seen>> seen_;  ///< the last ones used, newest first
};

}  // namespace cleave::inline v0::model
