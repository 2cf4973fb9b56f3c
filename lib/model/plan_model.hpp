// A Model that runs one plan.
#pragma once

#include "lib/model/analysis.hpp"
#include "lib/model/plan.hpp"

#include <cleave/model/model.hpp>

#include <list>
#include <memory>
#include <mutex>
#include <set>
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

class PlanModel final : public Model {
 public:
  PlanModel(std::shared_ptr<const Plan> plan, Analysis analysis, ModelFacts facts);

  [[nodiscard]] core::Fingerprint fingerprint() const override { return fingerprint_; }
  [[nodiscard]] std::span<const core::Cut> cuts() const override { return cuts_; }
  [[nodiscard]] std::uint32_t step_count() const override {
    return static_cast<std::uint32_t>(plan_->steps.size());
  }
  [[nodiscard]] core::Result<core::Values> run(core::CutId begin, core::CutId end,
                                               const core::Values& values) const override {
    return run_between(begin, end, values, nullptr);
  }
  [[nodiscard]] core::Result<core::Values> run_timed(
      core::CutId begin, core::CutId end, const core::Values& values,
      std::vector<core::StepTime>& times) const override {
    return run_between(begin, end, values, &times);
  }
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
  [[nodiscard]] core::Cut cut_at(std::uint32_t position) const;
  [[nodiscard]] core::Result<std::uint32_t> position_of(core::CutId cut) const;
  [[nodiscard]] core::Result<void> check_inputs(const core::Values& values) const;
  [[nodiscard]] core::Result<Frame> enter(std::uint32_t position, const core::Values& values) const;
  /// Whether cuts are safe for inputs of such sizes, found out at the first of them.
  [[nodiscard]] core::Result<void> check_sizes(const core::Values& values, std::uint32_t end) const;
  [[nodiscard]] core::Result<core::Values> leave(std::uint32_t position, const Frame& frame) const;
  [[nodiscard]] core::Result<core::Values> run_between(core::CutId begin, core::CutId end,
                                                       const core::Values& values,
                                                       std::vector<core::StepTime>* times) const;

  std::shared_ptr<const Plan> plan_;
  Analysis analysis_;
  ModelFacts facts_;
  core::Fingerprint fingerprint_;
  std::vector<core::CutId> ids_;  ///< by position
  std::unordered_map<core::CutId, std::uint32_t> positions_;
  std::vector<std::vector<std::uint32_t>> live_;  ///< by position
  std::vector<core::Cut> cuts_;
  std::vector<RefusedCut> refused_;
  std::vector<StepInfo> steps_;
  core::Bytes weight_bytes_;

  /// What a pass with other sizes than the example's showed.
  struct Seen {
    std::string signature;
    std::string unfit;                 ///< why the network must not run so; "" if it may
    std::vector<std::string> refused;  ///< by position, "" where the network may be cut
  };
  bool writes_ = false;      ///< the plan changes values in place
  bool look_again_ = false;  ///< sizes matter for where the network may be cut
  std::string known_;        ///< the example's signature
  mutable std::mutex seen_mutex_;
  mutable std::list<std::shared_ptr<const Seen>> seen_;  ///< the last ones used, newest first
};

}  // namespace cleave::inline v0::model
