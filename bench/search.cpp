// How much of the front a search finds when it may look at a tenth of the configurations: cleave's
// searches beside corners + NSGA-II, plain NSGA-II and random sampling, on the spaces of
// tests/support/synthetic_observations.hpp. A line per space and search over all seeds; spaces with
// a star are held out: nothing was tuned on them. --from is the first of the seeds; others than 1
// to 20 tell how much of a difference is chance.
//
//   cleave_bench_search [--seeds 20] [--from 1] [--budget 10] [--space NAME] [--search NAME]
//                       [--write DIRECTORY]
//
// Hypervolume: of ln latency x ln energy, as a share of the exhaustive front's. Extra energy: over
// the exhaustive front's, averaged over deadlines. --write only writes the observations, as CSV.
#include "tests/support/synthetic_observations.hpp"

#include <cleave/core/file.hpp>
#include <cleave/optimizer/observations.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace {

using cleave::optimizer::Algorithm;
using cleave::optimizer::ObservationOptions;

struct Search {
  const char* name;
  Algorithm algorithm;
  bool seeded, screened;
};
constexpr std::array searches = {
    Search{"cleave (nsga2)", Algorithm::nsga2, true, true},
    Search{"cleave (moead)", Algorithm::moead, true, true},
    Search{"cleave (nspso)", Algorithm::nspso, true, true},
    Search{"cleave (maco)", Algorithm::maco, true, true},
    Search{"corners + NSGA-II", Algorithm::nsga2, true, false},
    Search{"plain NSGA-II", Algorithm::nsga2, false, false},
    Search{"random", Algorithm::random, false, false},
};

int failed(const cleave::core::Error& error) {
  std::fprintf(stderr, "cleave_bench_search: %s\n", error.message().c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 20, from = 1;
  double budget = 10;
  std::string_view only, only_search;
  std::string directory;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--seeds")
      seeds = std::strtoull(argv[i + 1], nullptr, 10);
    else if (option == "--from")
      from = std::strtoull(argv[i + 1], nullptr, 10);
    else if (option == "--budget")
      budget = std::strtod(argv[i + 1], nullptr);
    else if (option == "--space")
      only = argv[i + 1];
    else if (option == "--search")
      only_search = argv[i + 1];
    else if (option == "--write")
      directory = argv[i + 1];
    else
      return std::fprintf(stderr, "cleave_bench_search: unknown option %s\n", argv[i]), 2;
  }
  if (directory.empty())
    std::printf("%-12s %5s %-18s %8s %8s %8s %8s %8s\n", "space", "size", "search", "hv mean",
                "hv min", "extra", "extra max", "s/search");
  for (const auto& space : cleave::test::synthetic_spaces) {
    if (!only.empty() && only != space.name)
      continue;
    if (!directory.empty()) {
      const auto written = cleave::core::write_file(
          directory + "/" + std::string(space.name) + ".csv",
          cleave::table::to_csv(cleave::test::synthetic_observations(space, 1)));
      if (!written)
        return failed(written.error());
      continue;
    }
    for (const Search& search : searches) {
      if (!only_search.empty() && only_search != search.name)
        continue;
      double sum = 0, least = 1, extra = 0, most = 0;
      std::size_t size = 0;
      const auto begin = std::chrono::steady_clock::now();
      for (std::uint64_t seed = from; seed < from + seeds; ++seed) {
        const auto observations = cleave::test::synthetic_observations(space, seed);
        size += observations.configurations.size();
        const auto found =
            cleave::optimizer::optimize(observations, ObservationOptions{
                                                          .algorithm = search.algorithm,
                                                          .budget_share = budget / 100,
                                                          .seed = seed,
                                                          .seeded = search.seeded,
                                                          .screened = search.screened,
                                                      });
        if (!found)
          return failed(found.error());
        sum += found->hypervolume_share;
        least = std::min(least, found->hypervolume_share);
        extra += found->extra_energy;
        most = std::max(most, found->extra_energy);
      }
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
      const auto count = static_cast<double>(seeds);
      std::printf("%-12s %5zu %-18s %8.4f %8.4f %7.2f%% %7.2f%% %8.3f\n",
                  (std::string(space.name) + (space.held_out ? " *" : "")).c_str(), size / seeds,
                  search.name, sum / count, least, 100 * extra / count, 100 * most,
                  took.count() / count);
      std::fflush(stdout);
    }
  }
  return 0;
}
