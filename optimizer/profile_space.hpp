// The configurations that a profile can price, as a space to search.
#pragma once

#include <cleave/core/configuration.hpp>
#include <cleave/core/energy.hpp>
#include <cleave/core/result.hpp>
#include <cleave/optimizer/constraints.hpp>
#include <cleave/optimizer/search.hpp>
#include <cleave/table/predictor.hpp>
#include <cleave/table/profile.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
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
  Constraints constraints = {};
  std::vector<Context> contexts = {};  ///< at least one; the first is the reference
};

/// One configuration by indices: of the cuts that are open, of Profile::codecs, of the settings.
struct Choice {
  std::uint32_t cut = 0, codec = 0, edge = 0, cloud = 0;
  friend bool operator==(const Choice&, const Choice&) = default;
};

/// What a configuration costs in one context; all-edge and all-cloud are marked by the space.
struct Cost {
  double latency = 0, energy = 0;  ///< ln seconds, ln joules
};

/// Variables: cut, codec, and every knob of the edge, then of the cloud. A point that cannot be
/// priced or breaks a constraint stands for the nearest that can and does not: the next codec that
/// is allowed at its cut, the nearest setting that was measured. With everything on the edge, codec
/// and cloud settings stand for themselves being absent. Objectives: ln seconds, ln joules, and the
/// steps of accuracy lost.
class ProfileSpace final : public Space {
 public:
  static core::Result<ProfileSpace> make(const table::Profile& profile,
                                         const ProfileSpaceOptions& options);

  [[nodiscard]] std::span<const Variable> variables() const override { return variables_; }
  void canonicalise(Point& point) const override;
  [[nodiscard]] std::uint64_t size() const override { return blocks_.back().begin; }
  [[nodiscard]] Objectives evaluate(const Point& point) const override;
  [[nodiscard]] std::size_t contexts() const override { return options_.contexts.size(); }
  [[nodiscard]] std::size_t objectives() const override { return with_accuracy_ ? 3 : 2; }
  /// All-edge at every setting of the edge: what is left when the cloud is out of reach.
  [[nodiscard]] std::vector<Point> suggested() const override;

  /// All configurations in the order of their points: the one of a number below size(), the one of
  /// a canonical point, and its point. No allocation but the point's.
  [[nodiscard]] Choice choice(std::uint64_t number) const;
  [[nodiscard]] Choice choice(const Point& point) const;
  [[nodiscard]] Point point(const Choice& choice) const;
  [[nodiscard]] table::Ingredients price(const Choice& choice) const;
  [[nodiscard]] Cost cost(const table::Ingredients& ingredients, const Context& context) const;
  /// The third objective; 0 without it.
  [[nodiscard]] double accuracy_lost(const table::Ingredients& ingredients) const;
  [[nodiscard]] const ProfileSpaceOptions& options() const { return options_; }
  /// Other links and queues, the same configurations.
  void set_contexts(std::vector<Context> contexts) { options_.contexts = std::move(contexts); }

  [[nodiscard]] core::Configuration configuration(const Choice& choice) const;
  [[nodiscard]] bool all_edge(const Choice& choice) const;
  [[nodiscard]] bool all_cloud(const Choice& choice) const;
  /// For people; see TableRow::label.
  [[nodiscard]] std::string label(const Choice& choice) const;
  /// Levels of the edge's knobs, setting by setting as Choice::edge counts them.
  [[nodiscard]] const std::vector<std::vector<core::LevelIndex>>& edge_settings() const {
    return edge_settings_.levels;
  }

  /// Calls visit(choice) for every configuration at one setting of the edge.
  template <class Visit>
  void each_at(std::uint32_t edge, Visit visit) const {
    for (std::size_t b = 0; b + 1 < blocks_.size(); ++b) {
      Choice choice{blocks_[b].cut, blocks_[b].codec, edge, 0};
      const std::size_t clouds = all_edge(choice) ? 1 : cloud_settings_.levels.size();
      for (; choice.cloud < clouds; ++choice.cloud) visit(std::as_const(choice));
    }
  }

 private:
  using Levels = std::vector<core::LevelIndex>;
  // The settings of a host without repetition, by their levels.
  struct Settings {
    std::vector<Levels> levels;
    std::vector<std::size_t> index;  // in HostProfile::settings
  };
  // A cut with a codec that is allowed at it.
  struct OpenCut {
    std::size_t index = 0;     // in Profile::cuts
    std::vector<bool> codecs;  // allowed; none for all-edge
  };
  // The configurations of one cut with one codec, numbered from `begin`; one block more ends them.
  struct Block {
    std::uint64_t begin = 0;
    std::uint32_t cut = 0, codec = 0;
  };

  ProfileSpace(const table::Profile& profile, const ProfileSpaceOptions& options,
               table::PriceList prices)
      : profile_(&profile), options_(options), prices_(std::move(prices)) {}
  core::Result<void> find_settings();
  core::Result<void> find_open_cuts();
  void number_configurations();
  [[nodiscard]] std::uint32_t find(const Settings& settings, const Point& point,
                                   std::size_t at) const;
  [[nodiscard]] const table::HostProfile& host(core::HostIndex index) const {
    return profile_->hosts[index];
  }
  [[nodiscard]] std::size_t first_cloud_knob() const;

  const table::Profile* profile_;
  ProfileSpaceOptions options_;
  table::PriceList prices_;
  std::vector<Variable> variables_;
  std::vector<OpenCut> cuts_;
  std::vector<Block> blocks_;
  Settings edge_settings_, cloud_settings_;
  bool with_accuracy_ = false;
};

}  // namespace cleave::inline v0::optimizer
