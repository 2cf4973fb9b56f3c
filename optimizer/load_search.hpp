// The least power of several networks whose loads on one edge and one link must fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stop_token>
#include <vector>

namespace cleave::inline v0::optimizer {

/// What the configurations chosen so far cost together; a single one, to begin with.
struct Sum {
  double power = 0, tightness = 0;       ///< W; the largest latency over deadline
  double edge = 0, link = 0;             ///< shares of their time
  std::uint32_t before = 0, chosen = 0;  ///< of the sums one model earlier, of the model's offers
};

/// One offer of each model, of least total power, at most this tight and within both loads: a
/// multiple-choice knapsack with two constraints, by branch and bound on its Lagrangian dual
/// (Fisher, Management Science 27, 1981; prices of a second by subgradient steps of Polyak's
/// length). Exact unless it was stopped, or gave up.
class LoadSearch {
 public:
  /// Both outlive the object. Offers that another of the same model beats in all four are left out.
  LoadSearch(const std::vector<std::vector<Sum>>& offers, double max_edge, double max_link,
             std::stop_token stop);

  struct Found {
    bool any = false;   ///< there is one with less power than asked for
    bool exact = true;  ///< and no other has less; or, without any, there is none
    double bound = 0;   ///< W: none has less power, asked for or not; infinity: there is none
    Sum sum = {};
    std::vector<std::uint32_t> chosen = {};  ///< Sum::chosen of each model's offer
  };
  /// Tightness below `tightness`, power below `power`, either of which may be infinite. Gives up
  /// after so many steps, of some nanoseconds each.
  Found find(double tightness, double power, std::uint64_t most_steps);

  [[nodiscard]] std::uint64_t steps() const { return steps_; }

 private:
  struct Offer {
    Sum sum;
    double priced = 0;  // power and loads at their prices
  };
  struct Rest {
    double priced = 0, edge = 0, link = 0;  // the least of the models from one on
  };

  double dual(double of_edge, double of_link, double& edge, double& link) const;
  double raise_prices(double power);
  void branch(std::size_t model, const Sum& sum, Found& best);

  std::vector<std::vector<Sum>> all_;       // by model
  std::vector<std::vector<Offer>> active_;  // not too tight
  std::vector<Rest> rest_;
  std::vector<std::uint32_t> path_;
  double max_edge_, max_link_;
  double of_edge_ = 0, of_link_ = 0;  // W for all of the edge's time, of the link's
  double limit_ = 0;                  // power to be beaten
  std::uint64_t steps_ = 0, last_step_ = 0;
  std::stop_token stop_;
};

/// By power, then tightness and loads.
bool cheaper(const Sum& a, const Sum& b);
Sum operator+(const Sum& a, const Sum& b);

}  // namespace cleave::inline v0::optimizer
