#include "cli/profile_files.hpp"

#include "cli/common.hpp"
#include "cli/profile_diff.hpp"
#include "cli/profile_merge.hpp"

#include <memory>

namespace cleave::cli {

void add_profile_files(CLI::App& command, int& result) {
  struct Options {
    std::vector<std::string> diff;
    MergeFiles merge;
    std::string out;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::Option* diff = add_diff_option(command, options->diff);
  CLI::Option* merge = add_merge_options(command, options->merge)->excludes(diff);
  command.add_option("-o,--output", options->out, "The profile that --merge writes")->needs(merge);
  add_json_flag(command, options->json);
  command.callback([options, &result] {
    const auto done = options->diff.empty()
                          ? merge_profiles(options->merge, options->out, options->json)
                          : print_diff(options->diff[0], options->diff[1], options->json);
    if (!done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
