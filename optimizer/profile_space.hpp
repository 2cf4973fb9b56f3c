// The configurations that a profile can price, as a space to search.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/result.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace cleave::inline v0::optimizer {

struct Context {
  table::LinkState link;
  core::Seconds queue;
};

struct ProfileSpaceOptions {
  core::Boundary boundary = core::Boundary::edge_cloud_device;
  double accuracy_floor = 0;
  bool accuracy_objective = true;
  double accuracy_step = 0.005;
  std::vector<Context> contexts = {};  ///< at least one; the first is the reference
};

/// Variables: cut, codec, and every knob of the edge, then of the cloud. A point that cannot be
/// priced stands for the nearest that can: the next codec that is allowed at its cut, the nearest
/// setting that was measured. With everything on the edge, codec and cloud settings stand for
/// themselves being absent. Objectives: ln seconds, ln joules, and the steps of accuracy lost.
class ProfileSpace final : public Space {
 public:
  static core::Result<ProfileSpace> make(const table::Profile& profile,
                                         const ProfileSpaceOptions& options);

  [[nodiscard]] std::span<const Variable> variables() const override { return variables_; }
  void canonicalise(Point& point) const override;
  [[nodiscard]] std::uint64_t size() const override;
  [[nodiscard]] Objectives evaluate(const Point& point) const override;
  [[nodiscard]] std::size_t contexts() const override { return options_.contexts.size(); }
  [[nodiscard]] std::size_t objectives() const override { return with_accuracy_ ? 3 : 2; }
  /// All-edge at every setting of the edge: what is left when the cloud is out of reach.
  [[nodiscard]] std::vector<Point> suggested() const override;

  [[nodiscard]] core::Configuration configuration(const Point& point) const;
  [[nodiscard]] core::Result<table::Ingredients> price(const Point& point) const;
  [[nodiscard]] bool all_edge(const Point& point) const;
  [[nodiscard]] bool all_cloud(const Point& point) const;
  /// For people; see TableRow::label.
  [[nodiscard]] std::string label(const Point& point) const;

 private:
  using Levels = std::vector<core::LevelIndex>;
  // A cut with a codec that is allowed at it.
  struct OpenCut {
    std::size_t index = 0;     // in Profile::cuts
    std::vector<bool> codecs;  // allowed; none for all-edge
  };

  ProfileSpace(const table::Profile& profile, const ProfileSpaceOptions& options)
      : profile_(&profile), options_(options) {}
  core::Result<void> find_open_cuts();
  core::Result<void> find_settings();
  [[nodiscard]] core::Configuration configure(const table::CutProfile& cut,
                                              const std::string& codec, const Levels& edge,
                                              const Levels& cloud) const;
  [[nodiscard]] const table::HostProfile& host(core::HostIndex index) const {
    return profile_->hosts[index];
  }

  const table::Profile* profile_;
  ProfileSpaceOptions options_;
  std::vector<Variable> variables_;
  std::vector<OpenCut> cuts_;
  std::vector<Levels> edge_settings_, cloud_settings_;  // measured, without repetition
  bool with_accuracy_ = false;
};

}  // namespace cleave::inline v0::optimizer
