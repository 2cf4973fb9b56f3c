// Which kernel performs each step, and how the values between them lie: measured, then chosen by
// dynamic programming, then remembered.
#include "lib/model/guard.hpp"
#include "lib/model/plan_cache.hpp"
#include "lib/model/plan_fused.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

namespace cleave::inline v0::model {
namespace {

using core::Errc;
using core::fail;
using core::Result;
using Clock = std::chrono::steady_clock;

constexpr double unusable = std::numeric_limits<double>::infinity();

Want want_of(Layout layout) {
  return layout == Layout::blocked         ? Want::blocked
         : layout == Layout::channels_last ? Want::channels_last
                                           : Want::plain;
}

// The least of some runs: what the work takes when nothing disturbs it.
template <class F>
double seconds(const F& work, double best_so_far) {
  const auto once = [&] {
    const auto start = Clock::now();
    work();
    return std::chrono::duration<double>(Clock::now() - start).count();
  };
  // The first also compiles and touches new memory, which is nothing against the rest only where
  // the work itself is long.
  constexpr double long_work = 0.05, hopeless = 4;
  double least = once();
  if (least > std::max(long_work, hopeless * best_so_far))
    return least;
  least = once();
  if (least > hopeless * best_so_far)
    return least;
  // Short work more often: a disturbance is long against it.
  constexpr int at_most = 8, at_least = 3, short_at_most = 100;
  constexpr double enough = 0.02, enough_if_short = 0.001;
  double total = 0;
  for (int i = 0; i < short_at_most &&
                  (i < at_least || (i < at_most && total < enough) || total < enough_if_short);
       ++i) {
    const double took = once();
    total += took;
    least = std::min(least, took);
  }
  return least;
}

class Chooser {
 public:
  Chooser(Draft draft, const Tuning& tuning) : draft_(std::move(draft)), tuning_(tuning) {}

  Result<Plan> run(const std::vector<c10::IValue>& inputs) {
    if (!draft_.has_kernels())
      return std::move(draft_.plan);
    if (tuning_.by_aten) {
      take_aten();
      return std::move(draft_.plan);
    }
    prepare(inputs);
    if (auto kept = read_choices(cache_key(), tuning_.cache_folder); kept && apply(*kept)) {
      finish();
      return std::move(draft_.plan);
    }
    walk(inputs, /*measure=*/true);
    dnn::drop_unused_kernels();
    do {
      decide();
    } while (!make_steps());
    if (!tuning_.cache_folder.empty())
      write_choices(cache_key(), tuning_.cache_folder, names());
    finish();
    return std::move(draft_.plan);
  }

 private:
  struct Measured {
    std::vector<Variant> variants;
    std::vector<double> seconds;
    std::vector<std::size_t> bytes;  // of weights
    std::size_t plain_bytes = 0;
  };
  struct Times {
    std::vector<double> seconds;
    std::vector<std::size_t> bytes;
  };

  void take_aten() {
    const std::size_t count = draft_.plan.steps.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (!draft_.blueprints[i])
        continue;
      for (const Variant& variant : draft_.blueprints[i]->variants({})) {
        if (variant.aten)
          draft_.plan.steps[i].step = draft_.blueprints[i]->make(variant, {}, draft_.plan.pool);
      }
    }
  }

  void prepare(const std::vector<c10::IValue>& inputs) {
    const std::size_t count = draft_.plan.steps.size();
    sizes_.resize(count);
    measured_.resize(count);
    choice_.assign(count, 0);
    made_.resize(count);
    slot_sizes_.resize(draft_.plan.slots.size());
    for (const auto& input : inputs) {
      key_ += ' ';
      input.visit([&](const c10::IValue& value) {
        if (!value.isTensor() || !value.toTensor().defined())
          return false;  // look inside
        for (const std::int64_t size : value.toTensor().sizes()) key_ += std::to_string(size) + 'x';
        return true;
      });
    }
    walk(inputs, /*measure=*/false);
  }

  [[nodiscard]] std::string cache_key() const {
    return machine_and_libraries() + " threads " + std::to_string(dnn::threads()) + " structure " +
           std::to_string(tuning_.structure) + " inputs" + key_;
  }

  // Runs the draft by the first variant of each step. Without measuring: only to learn the sizes
  // of what every step is given.
  void walk(const std::vector<c10::IValue>& inputs, bool measure) {
    Plan& plan = draft_.plan;
    Frame frame(plan.slots.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) frame[plan.inputs[i]] = inputs[i];
    for (const std::uint32_t slot : plan.inputs) note_sizes(slot, frame[slot]);
    torch::jit::Stack stack;
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
      std::vector<c10::IValue> arguments;
      for (const Source& source : plan.steps[i].arguments)
        arguments.push_back(plan.look_up(source, frame));
      if (draft_.blueprints[i]) {
        if (!measure) {
          for (const auto& argument : arguments)
            sizes_[i].push_back(argument.isTensor() && argument.toTensor().defined()
                                    ? argument.toTensor().sizes().vec()
                                    : dnn::Sizes());
          measured_[i].variants = draft_.blueprints[i]->variants(sizes_[i]);
        } else {
          measure_step(i, arguments);
        }
      }
      perform(i, arguments, stack);
      for (std::size_t k = 0; k < plan.steps[i].results.size(); ++k) {
        const std::uint32_t slot = plan.steps[i].results[k];
        if (slot != no_slot) {
          note_sizes(slot, stack[k]);
          frame[slot] = std::move(stack[k]);
        }
      }
      for (const Source& source : plan.steps[i].arguments) {
        if (source.last_use && !source.constant)
          frame[source.index] = c10::IValue();
      }
    }
  }

  void note_sizes(std::uint32_t slot, const c10::IValue& value) {
    if (value.isTensor() && is_image(value.toTensor()))
      slot_sizes_[slot] = value.toTensor().sizes().vec();
  }

  void perform(std::uint32_t i, const std::vector<c10::IValue>& arguments,
               torch::jit::Stack& stack) {
    stack.clear();
    std::shared_ptr<const Step> step = draft_.plan.steps[i].step;
    if (draft_.blueprints[i]) {
      // By ATen's operators: always there, plain, and they hold no second copy of the weights.
      const auto& variants = measured_[i].variants;
      const auto aten =
          std::find_if(variants.begin(), variants.end(), [](const Variant& v) { return v.aten; });
      step = draft_.blueprints[i]->make(*aten, sizes_[i], draft_.plan.pool);
      for (std::size_t k = 0; k < arguments.size(); ++k)
        stack.push_back(flexible(i, k) ? to_plain(arguments[k]) : arguments[k]);
    } else {
      stack = arguments;
    }
    step->run(stack);
  }

  [[nodiscard]] bool flexible(std::uint32_t i, std::size_t argument) const {
    return draft_.flexible[i][argument];
  }

  void measure_step(std::uint32_t i, const std::vector<c10::IValue>& arguments) {
    std::string signature = draft_.blueprints[i]->signature();
    for (const auto& sizes : sizes_[i]) {
      signature += '|';
      for (const std::int64_t size : sizes) signature += std::to_string(size) + 'x';
    }
    Measured& measured = measured_[i];
    const auto [known, fresh] = times_.try_emplace(signature);
    if (fresh) {
      double best = unusable;
      for (const Variant& variant : measured.variants) {
        const auto [seconds, bytes] = time(i, variant, arguments, best);
        known->second.seconds.push_back(seconds);
        known->second.bytes.push_back(bytes);
        best = std::min(best, seconds);
      }
    }
    measured.seconds = known->second.seconds;
    measured.bytes = known->second.bytes;
    for (std::size_t v = 0; v < measured.variants.size(); ++v) {
      if (measured.variants[v].aten)
        measured.plain_bytes = measured.bytes[v];
    }
  }

  std::pair<double, std::size_t> time(std::uint32_t i, const Variant& variant,
                                      const std::vector<c10::IValue>& arguments, double best) {
    const auto step = draft_.blueprints[i]->make(variant, sizes_[i], draft_.plan.pool);
    if (!step)
      return {unusable, 0};
    std::vector<c10::IValue> laid;
    for (std::size_t k = 0; k < arguments.size(); ++k)
      laid.push_back(converts(i, k)
                         ? converted(*draft_.plan.pool, arguments[k], false, want_of(variant.in[k]))
                         : arguments[k]);
    torch::jit::Stack stack;
    const double took = seconds(
        [&] {
          stack = laid;
          step->run(stack);
        },
        best);
    return {took, step->weight_bytes()};
  }

  // Whether the step's variants say how this argument is to lie.
  [[nodiscard]] bool converts(std::uint32_t i, std::size_t argument) const {
    return flexible(i, argument) ||
           (!draft_.plan.steps[i].step && !draft_.blueprints[i]->takes_any_strides());
  }

  // What bringing a slot's value from one layout into another takes.
  double conversion(std::uint32_t slot, Layout from, Layout to) {
    const dnn::Sizes& sizes = slot_sizes_[slot];
    if (from == to || sizes.empty())
      return 0;
    if ((from == Layout::blocked || to == Layout::blocked) && sizes[1] % dnn::block() != 0)
      return unusable;
    const auto [known, fresh] = conversions_.try_emplace({sizes, from, to}, 0.0);
    if (fresh) {
      BufferPool& pool = *draft_.plan.pool;
      const at::Tensor tensor = make(pool, sizes, from);
      tensor.zero_();
      known->second = seconds([&] { (void)to_layout(pool, tensor, from, to); }, unusable);
    }
    return known->second;
  }

  // Dynamic programming over the steps. The state before a step is how the images lie that are
  // alive and flexible; of all ways into a state only the cheapest goes on.
  void decide() {
    // Kernels that are fast for much memory (Winograd's transformed weights take up to four times
    // the plain ones') are chosen where a byte buys most, until the weights have grown by this
    // much.
    constexpr double most_growth = 0.10;
    std::size_t plain = 0;
    for (const Measured& measured : measured_) plain += measured.plain_bytes;
    const auto fits = [&] {
      std::size_t bytes = 0;
      for (std::size_t i = 0; i < choice_.size(); ++i)
        bytes += draft_.blueprints[i] ? measured_[i].bytes[choice_[i]] : 0;
      return static_cast<double>(bytes) <= (1 + most_growth) * static_cast<double>(plain);
    };
    decide(0);
    if (fits())
      return;
    // The price of a byte, in seconds, by bisection on its logarithm.
    double low = 1e-16, high = 1e-3;
    constexpr int rounds = 24;
    for (int round = 0; round < rounds; ++round) {
      const double middle = std::sqrt(low * high);
      decide(middle);
      (fits() ? high : low) = middle;
    }
    decide(high);
  }

  void decide(double price) {
    using State = std::map<std::uint32_t, Layout>;
    struct Way {
      double cost = 0;
      std::size_t from = 0;  // index into the ways of the step before
      std::size_t variant = 0;
    };
    // More states than this are never seen in real networks; if they are, the dearest are dropped.
    constexpr std::size_t most_states = 512;
    Plan& plan = draft_.plan;
    std::vector<std::vector<Way>> ways(plan.steps.size());
    std::vector<std::pair<State, Way>> states = {{State(), Way()}};
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
      std::map<State, Way> next;
      const Measured& measured = measured_[i];
      const std::size_t count = draft_.blueprints[i] ? measured.variants.size() : 1;
      for (std::size_t s = 0; s < states.size(); ++s) {
        for (std::size_t v = 0; v < count; ++v) {
          const Variant* variant = draft_.blueprints[i] ? &measured.variants[v] : nullptr;
          double cost = states[s].second.cost +
                        (variant ? measured.seconds[v] + price * weight(measured, v) : 0);
          for (std::size_t k = 0; k < plan.steps[i].arguments.size(); ++k) {
            const Source& source = plan.steps[i].arguments[k];
            if (source.constant)
              continue;
            const auto lies = states[s].first.find(source.index);
            const Layout from = lies == states[s].first.end() ? Layout::plain : lies->second;
            if (variant && converts(i, k))
              cost += conversion(source.index, from, variant->in[k]);
            else if (flexible(i, k) || from == Layout::blocked)
              cost += conversion(source.index, from, Layout::plain);
          }
          if (cost == unusable)
            continue;
          State state = states[s].first;
          for (const std::uint32_t slot : plan.steps[i].results) {
            if (slot != no_slot && variant && draft_.blueprints[i]->makes_images())
              state[slot] = variant->out;
          }
          std::erase_if(state, [&](const auto& entry) {
            return plan.slots[entry.first].last_use <= static_cast<std::int64_t>(i);
          });
          const auto found = next.find(state);
          if (found == next.end() || cost < found->second.cost)
            next[std::move(state)] = {cost, s, v};
        }
      }
      states.assign(next.begin(), next.end());
      if (states.size() > most_states) {
        std::sort(states.begin(), states.end(),
                  [](const auto& a, const auto& b) { return a.second.cost < b.second.cost; });
        states.resize(most_states);
      }
      for (const auto& [state, way] : states) ways[i].push_back(way);
    }
    TORCH_CHECK(!states.empty(), "no step can be performed");
    std::size_t at = 0;
    for (std::size_t s = 0; s < states.size(); ++s) {
      if (states[s].second.cost < states[at].second.cost)
        at = s;
    }
    for (std::size_t i = plan.steps.size(); i-- > 0;) {
      choice_[i] = ways[i][at].variant;
      at = ways[i][at].from;
    }
  }

  static double weight(const Measured& measured, std::size_t variant) {
    return static_cast<double>(measured.bytes[variant]);
  }

  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (std::size_t i = 0; i < choice_.size(); ++i)
      result.push_back(draft_.blueprints[i] ? measured_[i].variants[choice_[i]].name : "");
    return result;
  }

  bool apply(const std::vector<std::string>& kept) {
    if (kept.size() != choice_.size())
      return false;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      if (!draft_.blueprints[i])
        continue;
      const auto& variants = measured_[i].variants;
      const auto found = std::find_if(variants.begin(), variants.end(),
                                      [&](const Variant& v) { return v.name == kept[i]; });
      if (found == variants.end())
        return false;
      choice_[i] = static_cast<std::size_t>(found - variants.begin());
    }
    return make_steps();  // a file may name what another machine has
  }

  // Makes what was chosen. False if there turns out to be no such kernel, which is then not chosen
  // again.
  bool make_steps() {
    for (std::size_t i = 0; i < choice_.size(); ++i) {
      if (!draft_.blueprints[i])
        continue;
      Measured& measured = measured_[i];
      made_[i] =
          draft_.blueprints[i]->make(measured.variants[choice_[i]], sizes_[i], draft_.plan.pool);
      if (!made_[i]) {
        TORCH_CHECK(!measured.variants[choice_[i]].aten);
        if (!measured.seconds.empty())
          measured.seconds[choice_[i]] = unusable;
        return false;
      }
    }
    return true;
  }

  // Makes the steps chosen and lets go of the weights that they have packed.
  void finish() {
    Plan& plan = draft_.plan;
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
      PlacedStep& placed = plan.steps[i];
      if (draft_.blueprints[i]) {
        const Variant& variant = measured_[i].variants[choice_[i]];
        for (std::size_t k = 0; k < placed.arguments.size(); ++k)
          placed.wants.push_back(converts(i, k) ? want_of(variant.in[k]) : Want::as_it_is);
        placed.step = std::move(made_[i]);
        placed.kernel = variant.name;
        for (const std::uint32_t slot : placed.results) {
          if (slot != no_slot)
            plan.slots[slot].blocked = variant.out == Layout::blocked && !slot_sizes_[slot].empty();
        }
        draft_.blueprints[i].reset();
      } else {
        for (std::size_t k = 0; k < placed.arguments.size(); ++k)
          placed.wants.push_back(flexible(i, k) ? Want::plain : Want::as_it_is);
      }
    }
    std::vector<bool> used(plan.constants.size(), false);
    for (const PlacedStep& placed : plan.steps) {
      for (const Source& source : placed.arguments) {
        if (source.constant)
          used[source.index] = true;
      }
    }
    for (const Source& output : plan.outputs) {
      if (output.constant)
        used[output.index] = true;
    }
    for (std::size_t i = 0; i < used.size(); ++i) {
      if (!used[i])
        plan.constants[i] = c10::IValue();
    }
    // The graph's own constants, which the plan's were made from in this order.
    std::size_t constant = 0;
    for (torch::jit::Node* node : plan.graph->nodes()) {
      if (node->kind() != c10::prim::Constant)
        continue;
      if (constant < used.size() && !used[constant] && node->hasAttribute(c10::attr::value) &&
          node->kindOf(c10::attr::value) == torch::jit::AttributeKind::t)
        node->t_(c10::attr::value, at::Tensor(at::empty({0})));
      ++constant;
    }
  }

  Draft draft_;
  const Tuning& tuning_;
  std::string key_;
  std::vector<std::vector<dnn::Sizes>> sizes_;  // by step and argument
  std::vector<Measured> measured_;
  std::vector<std::size_t> choice_;
  std::vector<std::shared_ptr<const Step>> made_;  // as chosen
  std::vector<dnn::Sizes> slot_sizes_;             // of images
  std::map<std::string, Times> times_;
  std::map<std::tuple<dnn::Sizes, Layout, Layout>, double> conversions_;
};

}  // namespace

Result<Plan> choose(Draft draft, const std::vector<c10::IValue>& inputs, const Tuning& tuning) {
  return guarded(Errc::unsupported, "", [&]() -> Result<Plan> {
    const c10::InferenceMode inference;
    return Chooser(std::move(draft), tuning).run(inputs);
  });
}

}  // namespace cleave::inline v0::model
