// Writes a made-up profile for the scripts that drive `cleave optimize`: no machine needed.
//   cleave_make_profile FILE [SEED [STEPS [LEVELS]]]
#include "tests/support/synthetic_profile.hpp"

#include <cleave/table/files.hpp>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  if (argc < 2)
    return std::fprintf(stderr, "which file?\n"), 2;
  cleave::test::SyntheticOptions options;
  if (argc > 2)
    options.seed = std::strtoull(argv[2], nullptr, 10);
  if (argc > 3)
    options.steps = std::strtoull(argv[3], nullptr, 10);
  if (argc > 4) {
    // So many levels of each of the three knobs.
    const int levels = std::atoi(argv[4]);
    options.shares.clear();
    options.edge_threads.clear();
    options.cloud_threads.clear();
    for (int i = 1; i <= levels; ++i) {
      options.shares.push_back(static_cast<double>(i) / levels);
      options.edge_threads.push_back(i);
      options.cloud_threads.push_back(i);
    }
  }
  if (const auto saved = cleave::table::save(cleave::test::synthetic_profile(options), argv[1]);
      !saved)
    return std::fprintf(stderr, "%s\n", saved.error().message().c_str()), 1;
  return 0;
}
