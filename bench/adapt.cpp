// How the scheduler follows a world that changes: the link falls to a tenth, the cloud's queue
// grows, the edge slows down. Tables of a made-up network's 52 rows, truth known; each case over
// all seeds, with learning and without, where the link's estimate (transport::LinkEstimator) and
// the queue (transport::QueueEstimator) are seen, and where neither is, so that only what requests
// took can tell. "asked": as "yes", and while no request is in the cloud, an empty one asks for the
// queue now and then, as runtime::CloudLink does. "last": the queue is taken for what was told
// last, for ever; "fading": for that times exp(-age / 1 s).
//
//   cleave_bench_adapt [--seeds 50]
//
// misses: of the ten requests from the change on, and of the ninety after them, in percent. energy:
// of those ninety, over the least that was in time, on average. All requests can be made by the
// edge alone.
#include "tests/scheduler/changing_world.hpp"

#include <cleave/scheduler/scheduler.hpp>
#include <cleave/transport/link_estimator.hpp>
#include <cleave/transport/queue_estimator.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

namespace {

using namespace cleave;
using core::Seconds;
using test::Truth;

constexpr std::size_t before = 100, soon = 10, after = 100;

struct Case {
  const char* name;
  Truth (*truth)(const table::LinkState& reference, std::size_t i);
};

constexpr Case cases[] = {
    {"link to a tenth",
     [](const table::LinkState& link, std::size_t i) {
       Truth truth{link, {}};
       if (i >= before)
         truth.link.up = link.up * 0.1, truth.link.down = link.down * 0.1;
       return truth;
     }},
    {"queue + 1 ms a request",
     [](const table::LinkState& link, std::size_t i) {
       return Truth{link, core::milliseconds(i < before ? 0 : 1 * static_cast<double>(i - before))};
     }},
    {"queue + 5 ms a request",
     [](const table::LinkState& link, std::size_t i) {
       return Truth{link, core::milliseconds(i < before ? 0 : 5 * static_cast<double>(i - before))};
     }},
    {"queue + 20 ms a request",
     [](const table::LinkState& link, std::size_t i) {
       return Truth{link,
                    core::milliseconds(i < before ? 0 : 20 * static_cast<double>(i - before))};
     }},
    {"cloud takes 5 x",
     [](const table::LinkState& link, std::size_t i) {
       return Truth{.link = link, .queue = {}, .cloud = i < before ? 1.0 : 5.0};
     }},
    {"edge takes 2 x",
     [](const table::LinkState& link, std::size_t i) {
       return Truth{.link = link, .queue = {}, .edge = i < before ? 1.0 : 2.0};
     }},
};

enum class Seen { yes, asked, last, fading, no };

const char* name_of(Seen seen) {
  constexpr const char* names[] = {"yes", "asked", "last", "fading", "no"};
  return names[static_cast<int>(seen)];
}

struct Sum {
  double soon_missed = 0, later_missed = 0, energy = 0;
  std::size_t count = 0;
};

void add(Sum& sum, const std::vector<test::Step>& steps) {
  double energy = 0, least = 0;
  for (std::size_t i = before; i < before + after; ++i) {
    const test::Step& step = steps[i];
    (i < before + soon ? sum.soon_missed : sum.later_missed) += step.missed && step.feasible;
    if (i >= before + soon && step.feasible && !step.missed) {
      energy += step.energy;
      least += step.least;
    }
  }
  sum.energy += least > 0 ? energy / least - 1 : 0;
  ++sum.count;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 50;
  if (argc == 3 && std::string_view(argv[1]) == "--seeds")
    seeds = std::strtoull(argv[2], nullptr, 10);
  else if (argc != 1)
    return std::fprintf(stderr, "cleave_bench_adapt: --seeds N\n"), 2;
  std::printf("%-24s %-6s %-9s %12s %12s %9s\n", "change", "seen", "learning", "first 10",
              "next 90", "energy");
  for (const Case& one : cases)
    for (const Seen seen : {Seen::yes, Seen::asked, Seen::last, Seen::fading, Seen::no})
      for (const bool learning : {true, false}) {
        Sum sum;
        for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
          const auto table = test::share(test::network_table(seed));
          scheduler::PolicyOptions options;
          options.learning.enabled = learning;
          const auto policy = scheduler::make_policy("cleave", table, options).value();
          transport::LinkEstimator estimator;
          transport::QueueEstimator waits;
          Seconds queue, told, moment, looked;
          Truth meanwhile;                                  // of the request before
          std::optional<std::pair<Seconds, Seconds>> news;  // when it comes, and of what
          test::ChangingWorld world;
          world.truth = [&](std::size_t i) {
            const Truth before_this = std::exchange(meanwhile, one.truth(table->reference, i));
            constexpr Seconds look_again = core::milliseconds(50);
            for (; seen == Seen::asked && looked + look_again <= moment; looked += look_again) {
              if (news && news->first <= looked) {
                waits.add(news->second, looked);
                news.reset();
              } else if (!news && waits.wants_news(looked)) {
                waits.asked(looked);
                const Seconds waited = before_this.queue;
                news = {looked + waited + before_this.link.round_trip, waited};
              }
            }
            return meanwhile;
          };
          world.saw = [&](const table::Ingredients& in, const Truth& truth, Seconds now) {
            estimator.add_upload(in.up, in.up / truth.link.up, now);
            estimator.add_download(in.down, in.down / truth.link.down, now);
            estimator.add_round_trip(truth.link.round_trip, now);
            waits.add(truth.queue, now);
            queue = truth.queue;
            told = now;
          };
          world.link = [&](Seconds now) {
            moment = now;
            const auto estimate = estimator.estimate(now);
            return seen != Seen::no && estimate
                       ? table::LinkState{estimate->round_trip, estimate->up, estimate->down}
                       : table->reference;
          };
          world.queue = [&] {
            switch (seen) {
              case Seen::yes:
              case Seen::asked:
                return waits.estimate(moment);
              case Seen::last:
                return queue;
              case Seen::fading:
                return queue * std::exp(-(moment - told).count());
              case Seen::no:
                break;
            }
            return Seconds();
          };
          add(sum, test::run_changing(*policy, world, before + after, seed));
        }
        const double n = static_cast<double>(sum.count);
        std::printf("%-24s %-6s %-9s %11.2f%% %11.2f%% %+8.2f%%\n", one.name, name_of(seen),
                    learning ? "yes" : "no", 100 * sum.soon_missed / n / soon,
                    100 * sum.later_missed / n / (after - soon), 100 * sum.energy / n);
        std::fflush(stdout);
      }
  return 0;
}
