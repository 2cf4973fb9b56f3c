// Constraints held against a profile: which cuts and codecs are left, and if none, why.
#pragma once

#include <cleave/core/result.hpp>
#include <cleave/optimizer/constraints.hpp>
#include <cleave/table/profile.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace cleave::inline v0::optimizer {

/// A cut with a codec; all-edge has none.
struct Offer {
  std::size_t cut = 0, codec = 0;
};

class Rules {
 public:
  /// The profile must outlive the rules. Errc::not_found: a name that no cut has; unsupported: the
  /// profile does not tell what a rule asks for; invalid_argument: limits that are no numbers or
  /// leave no room.
  static core::Result<Rules> make(const table::Profile& profile, const Constraints& constraints,
                                  double accuracy_floor,
                                  std::function<double(const Offer&)> accuracy);

  [[nodiscard]] bool allow(const Offer& offer) const;
  /// The error for when none of the offers is allowed: the rules that leave nothing by themselves,
  /// with what would be needed, or else that they leave nothing together.
  [[nodiscard]] core::Result<void> nothing_left(const std::vector<Offer>& offers) const;

 private:
  struct Rule {
    std::string name;   // "largest transfer"
    std::string asked;  // "sends at most 200 kB"
    std::function<bool(const Offer&)> allows;
    std::function<std::string(const std::vector<Offer>&)> best = {};  // "the least is 410 kB"
  };
  std::vector<Rule> rules_;
};

}  // namespace cleave::inline v0::optimizer
